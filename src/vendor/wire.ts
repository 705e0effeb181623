import { LosslessNumber, parse, stringify } from 'lossless-json';
import { z } from 'zod';
import type { SdkToken } from '../token/sdk-token.ts';
import { readExpireTime } from './expire-time.ts';
import { BrokenAnswer } from './fault.ts';

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
