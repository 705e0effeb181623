import { LosslessNumber, parse, stringify } from 'lossless-json';
import * as z from 'zod';
import type { ResultKind } from '../token/observer.ts';
import { type SdkToken, TOKEN_FIELDS } from '../token/sdk-token.ts';
import { ACCESS_ID_MAX_LENGTH, isTextUpTo } from '../token/subject.ts';
import { type FaultFacts, type FaultKind, VendorFault } from './faults.ts';

/** The answer does not follow the protocol. The message names the wrong part and never quotes it. */
export class BrokenAnswer extends Error {
  override readonly name = 'BrokenAnswer';

  toFault(facts: FaultFacts): VendorFault {
    return answerFault('broken_answer', { ...facts, problem: this.message });
  }
}

/** The fault of an answer without a result: by its HTTP status, as for a proxy's error page, else `otherwise`. */
export function answerFault(otherwise: FaultKind, facts: FaultFacts): VendorFault {
  const { vendorCode, httpStatus = 200 } = facts;
  const isErrorPage = vendorCode === undefined && (httpStatus === 429 || httpStatus >= 500);
  if (!isErrorPage) return new VendorFault(otherwise, facts);
  const kind = httpStatus === 429 ? 'too_frequent' : 'outage';
  return new VendorFault(kind, { ...facts, problem: `answers HTTP ${httpStatus}` });
}

const MAX_LIFETIME_SECONDS = 10 ** 9;
const MAX_EPOCH_SECONDS = 10 ** 11;
const MAX_AHEAD_MS = 400 * 86_400_000;

/**
 * Reads an `expireTime` (docs/vendor-login.md, "Response"). Below 10^9 it is a lifetime in seconds, up to 10^11 epoch
 * seconds, above that epoch ms.
 * @param text the digits as the vendor sent them, quoted or not
 * @param sentAt when the login was sent, epoch ms by the vendor's clock
 * @returns epoch ms by the vendor's clock
 * @throws BrokenAnswer if it is not a whole number, not in the future, or more than 400 days ahead
 */
export function readExpireTime(text: string, sentAt: number): number {
  if (!/^\d+$/.test(text)) throw new BrokenAnswer('data.expireTime is not a whole number');
  const value = Number(text);
  const instant = toInstant(value, sentAt);
  if (instant <= sentAt) throw new BrokenAnswer('data.expireTime is not in the future');
  if (instant > sentAt + MAX_AHEAD_MS) throw new BrokenAnswer('data.expireTime is more than 400 days ahead');
  return instant;
}

function toInstant(value: number, sentAt: number): number {
  if (value < MAX_LIFETIME_SECONDS) return sentAt + value * 1_000;
  return value > MAX_EPOCH_SECONDS ? value : value * 1_000;
}

export const SUCCESS = 0;
const SIGNATURE_REFUSED = 10007;

/** All result codes of the protocol (docs/vendor-login.md, "Result codes"). */
export const KNOWN_RESULTS: ReadonlyMap<number, ResultKind> = new Map<number, ResultKind>([
  [SUCCESS, 'success'],
  [SIGNATURE_REFUSED, 'configuration'],
  [10901050, 'configuration'],
  [10901051, 'configuration'],
  [10901052, 'configuration'],
  [10001, 'request'],
  [10003, 'request'],
  [10016, 'request'],
  [10017, 'request'],
  [10020, 'request'],
  [10015, 'too_frequent'],
  [10901072, 'too_frequent'],
  [10901073, 'too_frequent'],
  [10901060, 'maintenance'],
  [10902013, 'account_closed'],
]);

/** Each known code with each result that it can mean. */
export const POSSIBLE_RESULTS: readonly (readonly [code: number, ResultKind])[] = [
  ...KNOWN_RESULTS,
  [SIGNATURE_REFUSED, 'clock_skew'],
];

/** Classifies a result (docs/vendor-login.md, "Result codes"). Only the end of `msg` shows the reason of a 10007. */
export function resultKind(code: number, msg: string): ResultKind {
  if (code === SIGNATURE_REFUSED && /:\s*-2\s*$/.test(msg)) return 'clock_skew';
  return KNOWN_RESULTS.get(code) ?? 'unknown';
}

const MAX_RETRY_AFTER_SECONDS = 3_600;

/** A `Retry-After` header (RFC 9110 §10.2.3). @param now epoch ms @returns whole seconds, one hour at most */
export function readRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - now) / 1_000);
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 0), MAX_RETRY_AFTER_SECONDS);
}

const wholeNumber = z
  .instanceof(LosslessNumber)
  .transform((number) => number.value)
  .pipe(z.string().regex(/^-?\d+$/));

const answer = z.object({
  code: wholeNumber.transform(Number).pipe(z.int()),
  msg: z.string().catch(''),
  requestId: z.string().catch(''),
  data: z.unknown().optional(),
});

const required = z.union([z.string().min(1), wholeNumber]);

/** Fields that the protocol does not know are passed on to the SDK, up to this many. */
const MAX_OTHER_FIELDS = 64;
/** Most bytes of the fields as JSON, which may be four times the answer. A longer record could not be read back. */
const MAX_FIELD_BYTES = 500_000;

/** The SDK knows `expand` as `expend`. A vendor may send either, both or none of them. */
const tokenData = z.object({
  // A longer accessId could not be looked up.
  accessId: required.refine((text) => isTextUpTo(ACCESS_ID_MAX_LENGTH, text)),
  accessToken: required,
  expireTime: required,
  terminalId: required,
});

/** The envelope of an answer. {@link readToken} checks `data` after the code has said success. */
export type VendorAnswer = z.infer<typeof answer>;

/** Reads the envelope (docs/vendor-login.md, "Response"). No number is rounded. @throws BrokenAnswer */
export function parseAnswer(text: string): VendorAnswer {
  const read = answer.safeParse(parseJson(text));
  if (!read.success) throw new BrokenAnswer(`the answer's ${faultyPath(read.error, 'body')} is missing or malformed`);
  return read.data;
}

/**
 * Reads the token from the `data` of a success. Strings stay unchanged, nulls are left out, any other value becomes its
 * JSON text. Half a surrogate pair becomes U+FFFD: the store keeps UTF-8, and all replicas must serve the same.
 * `expireTime` becomes epoch seconds by the vendor's clock, `expiresAt` is the same instant by the broker's.
 * @param sentAt when the login was sent, epoch ms by the broker's clock
 * @param offsetMs the vendor's clock minus the broker's clock
 * @throws BrokenAnswer
 */
export function readToken(data: unknown, sentAt: number, offsetMs: number): SdkToken {
  if (Object.keys(Object(data)).length > TOKEN_FIELDS.length + MAX_OTHER_FIELDS) {
    throw new BrokenAnswer(`data has more than ${MAX_OTHER_FIELDS} fields beside the known ones`);
  }
  const read = tokenData.safeParse(data);
  if (!read.success) throw new BrokenAnswer(`${faultyPath(read.error, 'data', 'data.')} is missing or malformed`);
  const sent = readFields(data as object);
  const vendorExpiry = readExpireTime(String(sent.get('expireTime')), sentAt + offsetMs);
  const expand = sent.get('expand') ?? sent.get('expend') ?? '';
  const fields = {
    ...Object.fromEntries(TOKEN_FIELDS.map((name) => [name, ''])),
    ...Object.fromEntries(sent),
    expireTime: String(Math.floor(vendorExpiry / 1_000)),
    expand,
    expend: sent.get('expend') ?? expand,
  };
  if (Buffer.byteLength(JSON.stringify(fields)) > MAX_FIELD_BYTES) {
    throw new BrokenAnswer(`data is longer than ${MAX_FIELD_BYTES} bytes as text`);
  }
  return { fields, issuedAt: sentAt, expiresAt: vendorExpiry - offsetMs };
}

function parseJson(text: string): unknown {
  try {
    return parse(text);
  } catch {
    // The messages of the parser quote the answer.
    throw new BrokenAnswer('the answer is not JSON');
  }
}

function readFields(data: object): Map<string, string> {
  try {
    // `__proto__` would change an object instead of adding a field.
    const present = Object.entries(data).filter(([name, value]) => value !== null && name !== '__proto__');
    return new Map(present.map(([name, value]) => [name.toWellFormed(), asText(value).toWellFormed()]));
  } catch {
    throw new BrokenAnswer('data is nested too deeply');
  }
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : String(stringify(value));
}

function faultyPath(error: z.ZodError, whole: string, prefix = ''): string {
  const path = error.issues[0]?.path.join('.');
  return path ? prefix + path : whole;
}
