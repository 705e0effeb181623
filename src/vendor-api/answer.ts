import { LosslessNumber, parse, stringify } from 'lossless-json';
import { z } from 'zod';
import type { SdkToken } from '../token/sdk-token.ts';

/** An answer that is not what the protocol says. The message names the part at fault and never quotes it. */
export class BrokenAnswer extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = 'BrokenAnswer';
  }
}

const LONGEST_LIFETIME = 10 ** 9;
const LATEST_IN_SECONDS = 10 ** 11;
const FURTHEST_AHEAD_MS = 400 * 86_400_000;

/**
 * The instant an `expireTime` means, in epoch ms on the vendor's clock (protocol.md, "Response"): a lifetime in seconds
 * below 10^9, epoch seconds up to 10^11, epoch ms above.
 * @param text the digits as the vendor sent them, quoted or not
 * @param sentAt when the login was sent, epoch ms on the vendor's clock
 * @throws BrokenAnswer not a whole number, not in the future, or further than 400 days ahead
 */
export function readExpireTime(text: string, sentAt: number): number {
  if (!/^\d+$/.test(text)) throw new BrokenAnswer('data.expireTime is not a whole number');
  const value = Number(text);
  const instant = toInstant(value, sentAt);
  if (instant <= sentAt) throw new BrokenAnswer('data.expireTime is not in the future');
  if (instant > sentAt + FURTHEST_AHEAD_MS) throw new BrokenAnswer('data.expireTime is more than 400 days ahead');
  return instant;
}

function toInstant(value: number, sentAt: number): number {
  if (value < LONGEST_LIFETIME) return sentAt + value * 1000;
  return value > LATEST_IN_SECONDS ? value : value * 1000;
}

/** What a result code asks of the broker. */
export type ResultKind =
  | 'success'
  | 'clock_skew'
  | 'configuration'
  | 'request'
  | 'too_frequent'
  | 'maintenance'
  | 'account_closed'
  | 'unknown';

export const SUCCESS = 0;
const SIGNATURE_REFUSED = 10007;

/** Every code the protocol knows (protocol.md, "Result codes"). */
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

/** Reads a result (protocol.md, "Result codes"). 10007 tells its reasons apart by the end of `msg` alone. */
export function resultKind(code: number, msg: string): ResultKind {
  if (code === SIGNATURE_REFUSED && /:\s*-2\s*$/.test(msg)) return 'clock_skew';
  return KNOWN_RESULTS.get(code) ?? 'unknown';
}

const LONGEST_SECONDS = 3600;

/**
 * Whole seconds a `Retry-After` (RFC 9110 §10.2.3) asks to wait, at most an hour; `undefined` where it says nothing.
 * @param now epoch ms against which a date is read
 */
export function readRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - now) / 1000);
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 0), LONGEST_SECONDS);
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

const tokenData = z.object({
  accessId: required,
  accessToken: required,
  expireTime: required,
  terminalId: required,
});

/** Fields the broker writes itself. `__proto__` is no field of anyone's; on an object it would be more than a key. */
const OWN_FIELDS = new Set(['accessId', 'accessToken', 'expireTime', 'terminalId', 'expand', 'expend', '__proto__']);

/** The envelope of the vendor's answers; `data` is judged by {@link readToken} once the code says success. */
export type VendorAnswer = z.infer<typeof answer>;

/**
 * Reads the envelope (protocol.md, "Response") without rounding a number anywhere in it.
 * @throws BrokenAnswer
 */
export function parseAnswer(text: string): VendorAnswer {
  const read = answer.safeParse(parseJson(text));
  if (!read.success) throw new BrokenAnswer(`the answer's ${faultyPath(read.error, 'body')} is missing or malformed`);
  return read.data;
}

export interface LoginTimes {
  /** When the login was sent, epoch ms on our clock. */
  readonly sentAt: number;
  /** The vendor's clock minus ours. */
  readonly offsetMs: number;
}

/**
 * The token in a successful answer's `data`: strings as they came, anything else as its JSON text, nulls left out.
 * `expireTime` is epoch seconds on the vendor's clock whatever form it came in; `expiresAt` is the same instant on ours.
 * @throws BrokenAnswer
 */
export function readToken(data: unknown, { sentAt, offsetMs }: LoginTimes): SdkToken {
  const read = tokenData.safeParse(data);
  if (!read.success) throw new BrokenAnswer(`${faultyPath(read.error, 'data', 'data.')} is missing or malformed`);
  const { accessId, accessToken, terminalId } = read.data;
  const vendorExpiry = readExpireTime(read.data.expireTime, sentAt + offsetMs);
  const sent = readFields(data as object);
  const expand = sent.get('expand') ?? sent.get('expend') ?? '';
  const fields = {
    accessId,
    accessToken,
    expireTime: String(Math.floor(vendorExpiry / 1000)),
    terminalId,
    expand,
    expend: sent.get('expend') ?? expand,
    ...Object.fromEntries([...sent].filter(([name]) => !OWN_FIELDS.has(name))),
  };
  return { fields, issuedAt: sentAt, expiresAt: vendorExpiry - offsetMs };
}

function parseJson(text: string): unknown {
  try {
    return parse(text);
  } catch {
    // The parser's messages quote what they stumbled over.
    throw new BrokenAnswer('the answer is not JSON');
  }
}

function readFields(data: object): Map<string, string> {
  try {
    const present = Object.entries(data).filter(([, value]) => value !== null);
    return new Map(present.map(([name, value]) => [name, asText(value)]));
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
