import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'lossless-json';
import * as z from 'zod';
import type { AdminToken } from '../http/admin-access.ts';
import type { AnswerCondition } from '../session/forward-verifier.ts';
import { readTopology } from '../store/redis/connection/topology.ts';
import { APP_NAME_PATTERN, ASSIGNED_REGION_PATTERN } from '../token/subject.ts';
import type { Text } from '../token/text.ts';

export const text = z.string();
export const listenAddress = text.refine((value) => isIP(value) !== 0 || /^(?!.{254})\w([\w.-]*\w)?\.?$/.test(value));
/** The vendor's ids become headers. A header cannot carry other characters, or HTTP removes them. */
export const visibleAscii = z.string().regex(/^[\x21-\x7e]+$/);
const withoutControls = z.string().regex(/^\P{Cc}+$/u);

/** Whether a file or a command has put nothing around a value: white space, a byte order mark (`trim`), or quotes. */
export function isBare(value: string): boolean {
  return value === value.trim() && !/^(["']).*\1$/s.test(value);
}
export const bareSecret = text.refine(isBare);
export const vendorSecret = withoutControls.refine(isBare);
/** One secret on each line. */
export const sharedSecrets = bareSecret.refine((lines) => lines.split(/\r?\n/).every(isBare));

/** A URL without credentials: the broker would not send them, and `fetch` refuses such a URL. */
const url = z
  .url({ protocol: /^https?$/ })
  .transform((value) => new URL(value))
  .refine(({ username, password }) => username === '' && password === '');
export function httpUrl(meaning: Text) {
  const allowed: Text = {
    en: `the http(s) URL ${meaning.en}, without a password in it`,
    zh: `${meaning.zh}，以 http:// 或 https:// 开头，其中不能有密码`,
  };
  return { schema: url, allowed, isUrl: true } as const;
}

/** The broker appends the path of the login, so the URL must have no query and no fragment. */
export const vendorUrl = url.refine(({ search, hash }) => search === '' && hash === '');

/** As curl reads it: without a scheme it is `http://`, and without a port 1080, or 443 with `https://`. */
export const proxyUrl = text
  .transform((value) => {
    const [, scheme = 'http', rest = ''] = /^(?:(https?):\/\/)?(.*)$/is.exec(value) ?? [];
    const hasPort = scheme.toLowerCase() === 'https' || /:\d+\/?$/.test(rest);
    return `${scheme}://${hasPort ? rest : `${rest.replace(/\/$/, '')}:1080`}`;
  })
  .pipe(z.url({ protocol: /^https?$/, hostname: /./ }))
  .transform((value) => new URL(value))
  .refine(({ username, password, pathname, search, hash }) => {
    const hasBothOrNone = (username === '') === (password === '');
    return hasBothOrNone && isPercentEncoded(username + password) && `${pathname}${search}${hash}` === '/';
  });

function isPercentEncoded(value: string): boolean {
  return !/%(?![0-9a-f]{2})/i.test(value);
}

/** `*`, or names with all names below them, IP addresses, and networks. */
export const withoutProxy = text
  .transform((value) =>
    value
      .toLowerCase()
      .split(/[\s,]+/)
      .filter((entry) => entry !== ''),
  )
  .transform((entries) => entries.map((entry) => entry.replace(/^\*?\.|\.$/g, '').replace(/^\[(.*)\]$/, '$1')))
  .refine((entries) => isDeepStrictEqual(entries, ['*']) || entries.every(isHostOrNetwork));

function isHostOrNetwork(entry: string): boolean {
  const [address = '', bits = '0', ...more] = entry.split('/');
  const family = isIP(address);
  if (family === 0) return /^[\w-]+(\.[\w-]+)*$/.test(entry);
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128) && more.length === 0;
}

/** `true` or `false`. */
export const flag = {
  schema: z.enum(['true', 'false']).transform((value) => value === 'true'),
  allowed: { en: 'true or false', zh: 'true 或 false' },
  values: ['true', 'false'],
} as const;
const commaList = text.transform((value) => value.split(',').map((item) => item.trim()));
export const hostNames = commaList
  .transform((names) => names.map((name) => name.toLowerCase()))
  .refine((names) => names.every((name) => /^\w([\w.-]*\w)?$/.test(name)));
export const algorithms = commaList.refine((names) => names.every((name) => /^[A-Za-z0-9]+$/.test(name)));

/** `key=value,key=value`, percent-encoded where needed: OpenTelemetry's form of headers and resource attributes. */
export const keyValues = commaList.transform((items, context): Readonly<Record<string, string>> => {
  const entries = items.filter((item) => item !== '').map((item) => /^([\w!#$%&'*+.^`|~-]+) *= *([ -~]*)$/.exec(item));
  try {
    if (entries.every((entry) => entry !== null)) {
      return Object.fromEntries(entries.map(([, key = '', value = '']) => [key, decodeURIComponent(value)]));
    }
  } catch {
    // Malformed percent-encoding.
  }
  context.addIssue('not a list of keys and values');
  return z.NEVER;
});

/** Headers that HTTP allows. */
export const headerValues = keyValues.refine((headers) =>
  Object.values(headers).every((value) => /^[ -~]*$/.test(value)),
);

export const share = z
  .string()
  .regex(/^\d*\.?\d+$/)
  .transform(Number)
  .pipe(z.number().max(1));

/** Scopes of OAuth (RFC 6749 §3.3), at least one. */
export const scopes = text
  .transform((value) => value.split(' ').filter((scope) => scope !== ''))
  .refine((items) => items.length > 0 && items.every((scope) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)));

export function oneOf<const Value extends string>(...values: readonly Value[]) {
  const list = values.join(', ');
  return { schema: z.enum(values), allowed: { en: `one of ${list}`, zh: `以下值之一：${list}` }, values };
}

export function wholeNumber(min: number, max: number) {
  const schema = z.string().regex(/^\d+$/).transform(Number).pipe(z.number().min(min).max(max));
  const allowed: Text = { en: `a whole number from ${min} to ${max}`, zh: `${min} 到 ${max} 的整数` };
  return { schema, allowed, range: [min, max] } as const;
}

/** JSON, in which no object has two values of one name. `JSON.parse` would drop the first. */
function json<T>(schema: z.ZodType<T>): z.ZodType<T, string> {
  const parsed = text.transform((value, context) => {
    try {
      return parse(value);
    } catch {
      context.addIssue('not JSON');
      return z.NEVER;
    }
  });
  return parsed.pipe(schema);
}

/** RFC 6750 §2.1, and long enough that nobody can guess it. */
export const ADMIN_TOKEN_PATTERN = /^(?=.{16})[A-Za-z0-9\-._~+/]+=*$/;
const adminToken = text
  .transform((item): AdminToken => {
    const [, name = '', token = ''] = /^([^:]*):(.*)$/s.exec(item) ?? [];
    return { name, token };
  })
  .refine(({ name, token }) => APP_NAME_PATTERN.test(name) && ADMIN_TOKEN_PATTERN.test(token));
export const adminTokens = commaList.pipe(z.array(adminToken)).refine(areDifferent);

/** Whether no two tokens have one name or one text. Otherwise it would be unknown which caller sent a token. */
export function areDifferent(tokens: readonly AdminToken[]): boolean {
  return [tokens.map(({ name }) => name), tokens.map(({ token }) => token)].every(
    (values) => new Set(values).size === values.length,
  );
}

/** `id:key`. The id has neither a comma nor a colon, and the key is 32 bytes in base64. */
const encryptionKey = text.regex(/^[\x21-\x2b\x2d-\x39\x3b-\x7e]{1,32}:[A-Za-z0-9+/]{43}=$/).transform((item) => {
  const [id = '', key = ''] = item.split(':');
  return { id, key: Buffer.from(key, 'base64') };
});
/** `off` is the empty list. */
export const encryptionKeys = z
  .literal('off')
  .transform(() => [])
  .or(commaList.pipe(z.array(encryptionKey)))
  .refine((keys) => new Set(keys.map(({ id }) => id)).size === keys.length);

export const refreshShare = z
  .string()
  .regex(/^0?\.\d+-0?\.\d+$/)
  .transform((value) => {
    const [from = 0, to = 0] = value.split('-').map(Number);
    return { from, to };
  })
  .refine(({ from, to }) => 0 < from && from <= to && to < 1);

/** `all`, or cookie names (RFC 6265 §4.1.1), which are case-sensitive. */
export const cookieNames = z
  .literal('all')
  .or(commaList.refine((names) => names.every((name) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name))));

/** A name, or a dotted path. An empty part would match nothing. */
export const claimPath = text.refine((value) => value.split('.').every((part) => part.trim() !== ''));

/** `path=value[|value…]`. */
export const answerCondition = text
  .transform((value): AnswerCondition => {
    const [, path = '', values = ''] = /^([^=]*)=(.*)$/s.exec(value) ?? [];
    return { path: path.trim(), values: values.split('|').map((one) => one.trim()) };
  })
  .refine(({ path, values }) => claimPath.safeParse(path).success && !values.includes(''));

/** Header names (RFC 9110 §5.1) in lower case, without those of a connection and those that the broker itself sets. */
export const headerNames = commaList
  .transform((names) => names.map((name) => name.toLowerCase()))
  .refine((names) => names.every((name) => /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) && !NOT_FORWARDED.has(name)));

const NOT_FORWARDED = new Set([
  'accept',
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
]);

const vendorApp = z.strictObject({
  appId: visibleAscii,
  appToken: vendorSecret,
  appKey: vendorSecret,
  accessId: visibleAscii.optional(),
});

export const redisUrl = bareSecret.refine((value) => readTopology(value) !== undefined);

/** Each app has its own keys in memory, and its own terminals of an account. */
const MAX_APPS = 64;

/** By name. */
export const vendorApps = json(
  z
    .record(z.string().regex(APP_NAME_PATTERN), vendorApp)
    .refine((apps) => Object.keys(apps).length > 0 && Object.keys(apps).length <= MAX_APPS),
);

/** Other vendor domains by country. */
export const regionUrls = json(z.record(z.string().regex(ASSIGNED_REGION_PATTERN), vendorUrl));
