import * as z from 'zod';
import { ASSIGNED_REGION_PATTERN } from '../token/subject.ts';
import {
  ADMIN_TOKEN_PATTERN,
  adminTokens,
  algorithms,
  answerCondition,
  bareSecret,
  claimPath,
  cookieNames,
  encryptionKeys,
  flag,
  headerNames,
  headerValues,
  httpUrl,
  keyValues,
  listenAddress,
  oneOf,
  redisUrl,
  refreshShare,
  regionUrls,
  scopes,
  share,
  sharedSecrets,
  text,
  vendorApps,
  vendorSecret,
  vendorUrl,
  visibleAscii,
  wholeNumber,
} from './value-schemas.ts';

export interface Variable<T> {
  readonly schema: z.ZodType<T, string>;
  /** The allowed values, as the end of a sentence that begins with "X must be". */
  readonly allowed: string;
  readonly default?: string;
  /** Never shown. It may also come from a file whose path is in `X_FILE`. */
  readonly secret?: true;
  /** Not shown if it is not valid, because it may contain a password. */
  readonly isUrl?: true;
}

/**
 * The modes of checking sessions. To add one, add it here. The compiler and `test/documents.test.ts` then name the
 * other places: the settings (`session-config.ts`), the verifier, the `check` command and the documents.
 */
export const SESSION_MODES = ['jwt', 'introspection', 'forward'] as const;

const IN_VISIBLE_ASCII = 'in visible ASCII characters without a space or a line break';
const CLAIM = 'a claim name or a dotted path, without an empty part';
const CONDITION = 'a condition on the JSON answer, path=value[|value…], without an empty part';
const WITHOUT_CONTROLS = 'without control characters';
/** See `isBare`. Holds for every setting that is neither secret nor JSON, and for secrets that say so. */
export const BARE = 'without white space, quotes or a byte order mark around it';

function issuedSecret(name: 'appToken' | 'appKey') {
  const allowed = `the ${name} that the vendor issued, ${WITHOUT_CONTROLS}, such as the line break that echo adds, and ${BARE}`;
  return { schema: vendorSecret, allowed, secret: true } as const;
}

/** All environment variables of the service (docs/settings.md). */
export const VARIABLES = {
  NODE_ENV: { schema: text, allowed: 'a word', default: 'development' },
  HOST: { schema: listenAddress, allowed: 'an IP address or a host name to listen on', default: '0.0.0.0' },
  PORT: { ...wholeNumber(0, 65_535), default: '8080' },
  ADMIN_HOST: { schema: listenAddress, allowed: 'an IP address or a host name to listen on', default: '127.0.0.1' },
  ADMIN_PORT: { ...wholeNumber(0, 65_535), default: '9090' },
  ADMIN_TOKEN: {
    schema: z.string().regex(ADMIN_TOKEN_PATTERN),
    allowed: 'at least 16 characters of A-Z a-z 0-9 - . _ ~ + / (the output of openssl rand -base64 32)',
    secret: true,
  },
  ADMIN_TOKENS: {
    schema: adminTokens,
    allowed:
      'name:token[,name:token…] with different names (letters, digits, dots, underscores, hyphens) and different ' +
      'tokens, each with at least 16 characters of A-Z a-z 0-9 - . _ ~ + / (the output of openssl rand -base64 32)',
    secret: true,
  },
  LOG_LEVEL: { ...oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'), default: 'info' },
  API_DOCS: { schema: flag, allowed: 'true or false' },
  VENDOR_BASE_URL: {
    schema: vendorUrl,
    allowed: 'the http(s) URL of the vendor domain assigned to you, without a password or a query in it',
    isUrl: true,
  },
  VENDOR_REGION_URLS: {
    schema: regionUrls,
    allowed:
      'a JSON object of http(s) URLs, without a password or a query in them, by assigned country code (GB, not UK), ' +
      'like {"CN":"https://cn.example"}',
    default: '{}',
    isUrl: true,
  },
  VENDOR_APP_ID: {
    schema: visibleAscii,
    allowed: `the appId that the vendor issued (for several apps use VENDOR_APPS), ${IN_VISIBLE_ASCII}`,
  },
  VENDOR_APP_TOKEN: issuedSecret('appToken'),
  VENDOR_APP_KEY: issuedSecret('appKey'),
  VENDOR_ACCESS_ID: {
    schema: visibleAscii,
    allowed: `the value of the header X-IotVideo-AccessID, if the vendor issued one besides the appId, ${IN_VISIBLE_ASCII}`,
  },
  VENDOR_APPS: {
    schema: vendorApps,
    allowed:
      'a JSON object of 1 to 64 apps by different names (letters, digits, dots, underscores, hyphens), ' +
      'like {"ios":{"appId":"…","appToken":"…","appKey":"…"}}, with accessId as the only other field, ' +
      `each appId and accessId ${IN_VISIBLE_ASCII}, and each appToken and appKey ${WITHOUT_CONTROLS}, and ${BARE}`,
    secret: true,
  },
  VENDOR_MAX_RPS: { ...wholeNumber(0, 10_000), default: '10' },
  VENDOR_TIMEOUT_MS: { ...wholeNumber(100, 60_000), default: '5000' },
  SESSION_MODE: { ...oneOf(...SESSION_MODES), default: 'jwt' },
  SESSION_JWT_JWKS_URL: httpUrl('of a JWK Set'),
  SESSION_JWT_PUBLIC_KEY: {
    schema: text,
    allowed: 'a public key in PEM (SPKI, -----BEGIN PUBLIC KEY-----), or two while you replace it',
    secret: true,
  },
  SESSION_JWT_SECRET: {
    schema: sharedSecrets,
    allowed:
      'the shared HMAC secret, at least 32 bytes, or two on two lines while you replace it, ' +
      'without white space, quotes or a byte order mark around one',
    secret: true,
  },
  SESSION_JWT_ISSUER: { schema: text, allowed: 'the `iss` claim of your sessions, or any' },
  SESSION_JWT_AUDIENCE: { schema: text, allowed: 'the `aud` claim of your sessions, or any' },
  SESSION_JWT_ALGORITHMS: { schema: algorithms, allowed: 'a comma-separated list of JWS algorithms, like ES256' },
  SESSION_CLAIM_UNION_ID: { schema: claimPath, allowed: CLAIM, default: 'sub' },
  SESSION_CLAIM_REGION: { schema: claimPath, allowed: CLAIM, default: 'region' },
  SESSION_CLAIM_APP: { schema: claimPath, allowed: CLAIM },
  SESSION_CLAIM_ISSUED_AT: { schema: claimPath, allowed: CLAIM, default: 'iat' },
  SESSION_CLAIM_EXPIRES_AT: { schema: claimPath, allowed: CLAIM, default: 'exp' },
  SESSION_CLAIM_TIME_UNIT: { ...oneOf('s', 'ms'), default: 's' },
  SESSION_INTROSPECTION_URL: httpUrl('of the introspection endpoint (RFC 7662)'),
  SESSION_INTROSPECTION_CLIENT_ID: { schema: text, allowed: 'the client id of the broker at the OAuth server' },
  SESSION_INTROSPECTION_CLIENT_SECRET: {
    schema: bareSecret,
    allowed: `the client secret of the broker, ${BARE}`,
    secret: true,
  },
  SESSION_INTROSPECTION_AUDIENCE: { schema: text, allowed: 'the `aud` of tokens that are meant for the broker' },
  SESSION_INTROSPECTION_SCOPE: { schema: scopes, allowed: 'the scopes that a token must have, separated by spaces' },
  SESSION_FORWARD_URL: httpUrl('that returns the claims of a session'),
  SESSION_FORWARD_HEADERS: {
    schema: headerNames,
    allowed:
      'a comma-separated list of header names, like authorization,cookie, without host, accept, user-agent or the like',
    default: 'authorization,cookie',
  },
  SESSION_FORWARD_COOKIES: {
    schema: cookieNames,
    allowed: 'all, or a comma-separated list of cookie names, like PHPSESSID',
    default: 'all',
  },
  SESSION_FORWARD_ACCEPTED: { schema: answerCondition, allowed: `${CONDITION}, like code=200` },
  SESSION_FORWARD_REFUSED: { schema: answerCondition, allowed: `${CONDITION}, like code=401|403` },
  SESSION_CACHE_SECONDS: { ...wholeNumber(0, 3_600), default: '30' },
  DEFAULT_REGION: {
    schema: z.string().regex(ASSIGNED_REGION_PATTERN),
    allowed: 'an assigned country code (ISO 3166-1 alpha-2), two capital letters',
  },
  REDIS_URL: {
    schema: redisUrl,
    allowed:
      'a redis:// or rediss:// URL, redis-sentinel://host:port,host:port/name or redis-cluster://host:port,host:port ' +
      '(with user:password@ before the hosts if needed, where characters such as @ / : # ? % are percent-encoded, ' +
      'and ?tls=true for TLS with the last two), ' +
      'without white space or quotes around it; without the setting, the process keeps the tokens in its memory',
    secret: true,
  },
  REDIS_KEY_PREFIX: {
    schema: z.string().regex(/^[A-Za-z0-9._:-]{1,64}$/),
    allowed: '1 to 64 letters, digits, dots, underscores, colons and hyphens',
    default: 'sdkt',
  },
  TOKEN_ENCRYPTION_KEYS: {
    schema: encryptionKeys,
    allowed:
      'off, or id:key[,id:key…] with different ids and 32-byte keys in base64 (the output of openssl rand -base64 32)',
    secret: true,
  },
  TERMINAL_POLICY: { ...oneOf('multi', 'single'), default: 'multi' },
  TERMINALS_PER_ACCOUNT: { ...wholeNumber(1, 1_000), default: '20' },
  REFRESH_MODE: oneOf('proactive', 'on-demand'),
  REFRESH_AT: {
    schema: refreshShare,
    allowed: 'two shares of a token’s life between 0 and 1, the smaller first, like 0.7-0.9',
    default: '0.7-0.9',
  },
  REFRESH_UNREAD_LIMIT: { ...wholeNumber(1, 255), default: '1' },
  RATE_LIMIT_PER_MINUTE: { ...wholeNumber(0, 1_000_000), default: '60' },
  LOGIN_LIMIT_PER_HOUR: { ...wholeNumber(0, 1_000_000), default: '60' },
  CACHE_MAX_MB: { ...wholeNumber(1, 2_048), default: '64' },
  OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl('of an OTLP/HTTP receiver, to which /v1/traces is added'),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: httpUrl('to which traces are sent by OTLP/HTTP, with its path'),
  OTEL_EXPORTER_OTLP_HEADERS: {
    schema: headerValues,
    allowed: 'a comma-separated list like api-key=secret, with percent-encoded values',
    secret: true,
  },
  OTEL_SERVICE_NAME: { schema: text, allowed: 'the name of this service in traces' },
  OTEL_RESOURCE_ATTRIBUTES: {
    schema: keyValues,
    allowed: 'a comma-separated list like deployment.environment.name=production, with percent-encoded values',
  },
  OTEL_TRACES_SAMPLER: {
    ...oneOf(
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ),
    default: 'parentbased_traceidratio',
  },
  OTEL_TRACES_SAMPLER_ARG: { schema: share, allowed: 'a number from 0 to 1', default: '0.1' },
  OTEL_TRACES_EXPORTER: { ...oneOf('otlp', 'none'), default: 'otlp' },
  OTEL_SDK_DISABLED: { schema: flag, allowed: 'true or false', default: 'false' },
} as const satisfies Record<string, Variable<unknown>>;

export type VariableName = keyof typeof VARIABLES;
type Value<N extends VariableName> = z.output<(typeof VARIABLES)[N]['schema']>;
type HasDefault<N extends VariableName> = (typeof VARIABLES)[N] extends { readonly default: string } ? true : false;

/** The values of the variables. A variable with a default always has a value. */
export type Values = { [N in VariableName]: HasDefault<N> extends true ? Value<N> : Value<N> | undefined };
