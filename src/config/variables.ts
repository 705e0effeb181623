import { isIP } from 'node:net';
import { z } from 'zod';
import { REGION_PATTERN } from '../token/subject.ts';

export interface Variable<T> {
  readonly schema: z.ZodType<T, string>;
  /** What is allowed, as the end of a sentence that begins "X must be". */
  readonly allowed: string;
  readonly default?: string;
  /** Never shown; may also be given as the path of a file in `X_FILE`. */
  readonly secret?: true;
}

const text = z.string();
/** Without credentials: nothing here sends them, and `fetch` refuses such a URL. */
const url = z
  .url({ protocol: /^https?$/ })
  .transform((value) => new URL(value))
  .refine(({ username, password }) => username === '' && password === '');
const flag = z.enum(['true', 'false']).transform((value) => value === 'true');
const commaList = text.transform((value) => value.split(',').map((item) => item.trim()));

function wholeNumber(min: number, max: number) {
  const schema = z.string().regex(/^\d+$/).transform(Number).pipe(z.number().min(min).max(max));
  return { schema, allowed: `a whole number from ${min} to ${max}` };
}

function json<T>(schema: z.ZodType<T>): z.ZodType<T, string> {
  const parsed = text.transform((value, context) => {
    try {
      return JSON.parse(value);
    } catch {
      context.addIssue('not JSON');
      return z.NEVER;
    }
  });
  return parsed.pipe(schema);
}

const ENCRYPTION_KEY = /^([\x21-\x2b\x2d-\x39\x3b-\x7e]{1,32}):([A-Za-z0-9+/]{43}=)$/;
const encryptionKeys = commaList.transform((items, context) => {
  const keys = items.map((item) => {
    const [, id = '', key = ''] = ENCRYPTION_KEY.exec(item) ?? [];
    return { id, key: Buffer.from(key, 'base64') };
  });
  if (keys.some(({ key }) => key.length !== 32) || new Set(keys.map(({ id }) => id)).size < keys.length) {
    context.addIssue('not a key ring');
  }
  return keys;
});

const refreshShare = z
  .string()
  .regex(/^0?\.\d+-0?\.\d+$/)
  .transform((value) => {
    const [from = 0, to = 0] = value.split('-').map(Number);
    return { from, to };
  })
  .refine(({ from, to }) => 0 < from && from <= to && to < 1);

/** As Fastify has it: all proxies, none, or those with these addresses. */
const trustProxy = flag.or(text.refine((value) => value.split(',').every((item) => isAddressRange(item.trim()))));

function isAddressRange(item: string): boolean {
  const [address = '', bits = '0', ...rest] = item.split('/');
  const version = isIP(address);
  return rest.length === 0 && version > 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}

/** Every environment variable the service knows: contract.md, "Configuration". */
export const VARIABLES = {
  NODE_ENV: { schema: text, allowed: 'a word', default: 'development' },
  HOST: { schema: text, allowed: 'an address to listen on', default: '0.0.0.0' },
  PORT: { ...wholeNumber(0, 65_535), default: '8080' },
  LOG_LEVEL: {
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    allowed: 'one of trace, debug, info, warn, error, fatal, silent',
    default: 'info',
  },
  API_DOCS: { schema: flag, allowed: 'true or false', default: 'true' },
  TRUST_PROXY: {
    schema: trustProxy,
    allowed: 'true, false, or the proxies’ IP addresses or CIDR ranges with commas between, like 10.0.0.0/8',
    default: 'false',
  },
  VENDOR_BASE_URL: {
    schema: url,
    allowed: 'the http(s) URL of the vendor domain assigned to you, without a password in it',
  },
  VENDOR_REGION_URLS: {
    schema: json(z.record(z.string().regex(REGION_PATTERN), url)),
    allowed: 'a JSON object of http(s) URLs by country in capital letters, like {"CN":"https://cn.example"}',
    default: '{}',
  },
  VENDOR_APP_ID: { schema: text, allowed: 'the appId the vendor issued' },
  VENDOR_APP_TOKEN: { schema: text, allowed: 'the appToken the vendor issued', secret: true },
  VENDOR_APP_KEY: { schema: text, allowed: 'the appKey the vendor issued', secret: true },
  VENDOR_ACCESS_ID: {
    schema: text,
    allowed: 'the X-IotVideo-AccessID header to send, if the vendor told you another than the appId',
  },
  VENDOR_TIMEOUT_MS: { ...wholeNumber(100, 60_000), default: '5000' },
  SESSION_MODE: { schema: z.enum(['jwt']), allowed: 'jwt', default: 'jwt' },
  SESSION_JWT_JWKS_URL: { schema: url, allowed: 'the http(s) URL of a JWK Set, without a password in it' },
  SESSION_JWT_PUBLIC_KEY: {
    schema: text,
    allowed: 'a public key in PEM (SPKI, -----BEGIN PUBLIC KEY-----)',
    secret: true,
  },
  SESSION_JWT_SECRET: { schema: text, allowed: 'the shared HMAC secret, at least 32 bytes', secret: true },
  SESSION_JWT_ISSUER: { schema: text, allowed: 'the `iss` claim of your sessions' },
  SESSION_JWT_AUDIENCE: { schema: text, allowed: 'the `aud` claim of your sessions' },
  SESSION_JWT_ALGORITHMS: { schema: commaList, allowed: 'a comma-separated list of JWS algorithms, like ES256' },
  SESSION_CLAIM_UNION_ID: { schema: text, allowed: 'a claim name or a dotted path', default: 'sub' },
  SESSION_CLAIM_REGION: { schema: text, allowed: 'a claim name or a dotted path', default: 'region' },
  SESSION_CACHE_SECONDS: { ...wholeNumber(0, 3_600), default: '30' },
  DEFAULT_REGION: { schema: z.string().regex(REGION_PATTERN), allowed: 'two capital letters (ISO 3166-1 alpha-2)' },
  REDIS_URL: {
    schema: z.url({ protocol: /^rediss?$/ }),
    allowed: 'a redis:// or rediss:// URL; without it tokens live in this one process',
    secret: true,
  },
  REDIS_KEY_PREFIX: {
    schema: z.string().regex(/^[A-Za-z0-9._:-]{1,64}$/),
    allowed: '1 to 64 letters, digits, dots, underscores, colons and hyphens',
    default: 'sdkt',
  },
  TOKEN_ENCRYPTION_KEYS: {
    schema: z.literal('off').or(encryptionKeys),
    allowed: 'off, or id:key[,id:key…] with different ids and 32-byte keys in base64 (openssl rand -base64 32)',
    secret: true,
  },
  REFRESH_MODE: {
    schema: z.enum(['proactive', 'on-demand']),
    allowed: 'proactive or on-demand',
    default: 'proactive',
  },
  REFRESH_AT: {
    schema: refreshShare,
    allowed: 'two shares of a token’s life between 0 and 1, the smaller first, like 0.7-0.9',
    default: '0.7-0.9',
  },
  REFRESH_UNREAD_LIMIT: { ...wholeNumber(1, 255), default: '1' },
  CACHE_MAX_MB: { ...wholeNumber(1, 65_536), default: '64' },
} as const satisfies Record<string, Variable<unknown>>;

export type VariableName = keyof typeof VARIABLES;
type Value<N extends VariableName> = z.output<(typeof VARIABLES)[N]['schema']>;
type HasDefault<N extends VariableName> = (typeof VARIABLES)[N] extends { readonly default: string } ? true : false;

/** The variables' values: a variable with a default always has one. */
export type Values = { [N in VariableName]: HasDefault<N> extends true ? Value<N> : Value<N> | undefined };
