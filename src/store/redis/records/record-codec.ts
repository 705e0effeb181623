import { TOKEN_FIELDS, type TokenRecord } from '../../../token/sdk-token.ts';
import { REGION_PATTERN, type SubjectId, subjectId, terminalOf } from '../../../token/subject.ts';
import { pack, unpack } from './packing.ts';
import { isInTheClear, type SealedField, type TokenCipher } from './token-cipher.ts';

/**
 * A record in Redis: a plain header, which the scripts read too, then a sealed text.
 *
 * | byte | |
 * |---|---|
 * | 0 | format, 1 |
 * | 1 | 1 once an app has read this generation; a script changes it in place |
 * | 2 | number of unread renewals in a row |
 * | 3–8 | generation |
 * | 9–14 | expiry, epoch ms |
 * | 15… | sealed: subject, region, issue time, the token's fields |
 */
const FORMAT = 1;
export const HEADER_LENGTH = 15;
/**
 * Anyone who can write to Redis can write any generation. One that is further ahead of the clock than this counts as
 * none, because the next one might not fit into a record. It is a year, because the clock of Redis may be wrong, differ
 * from ours, or be set back.
 */
export const MAX_LEAD_MS = 366 * 86_400_000;

/** Format 1 stores these fields by position and all others by name. */
const POSITIONAL_FIELDS: readonly string[] = TOKEN_FIELDS.slice(0, 6);

export class RecordCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  /** @param key the Redis key of the record's hash; the sealed text is bound to it, to the id and to the header */
  encode(record: TokenRecord, id: SubjectId, key: string): Buffer {
    const { subject, region, token } = record;
    const header = Buffer.alloc(HEADER_LENGTH);
    header.writeUInt8(FORMAT, 0);
    header.writeUInt8(record.read ? 1 : 0, 1);
    header.writeUInt8(Math.min(record.unreadRenewals, 255), 2);
    header.writeUIntBE(record.generation, 3, 6);
    header.writeUIntBE(Math.floor(token.expiresAt), 9, 6);
    const known = POSITIONAL_FIELDS.map((name) => token.fields[name] ?? '');
    const more = Object.entries(token.fields).filter(([name]) => !POSITIONAL_FIELDS.includes(name));
    const { app, unionId, uniqueId } = subject;
    const plain = pack([app, unionId, uniqueId, region, String(token.issuedAt), ...known, ...more.flat()]);
    return Buffer.concat([header, this.#cipher.seal(plain, boundTo(header, id, key))]);
  }

  /** Whether the record is sealed under the current key. */
  isCurrent(bytes: Buffer): boolean {
    return this.#cipher.isCurrent(bytes.subarray(HEADER_LENGTH));
  }

  /** `undefined` when the bytes are no record. */
  sealedField(bytes: Buffer, id: SubjectId, key: string): SealedField | undefined {
    if (bytes.length <= HEADER_LENGTH || bytes[0] !== FORMAT) return undefined;
    const additionalData = boundTo(bytes.subarray(0, HEADER_LENGTH), id, key);
    const sealed = bytes.subarray(HEADER_LENGTH);
    return { key, field: terminalOf(id), headLength: HEADER_LENGTH, sealed, additionalData };
  }

  /** Epoch ms at which the record expires, even when no key opens it. */
  expiryOf(bytes: Buffer): number {
    return bytes.readUIntBE(9, 6);
  }

  /** `undefined` when the record does not open or belongs to another subject. It then costs a login, not an error. */
  decode(bytes: Buffer | null | undefined, id: SubjectId, key: string): TokenRecord | undefined {
    const field = bytes ? this.sealedField(bytes, id, key) : undefined;
    const plain = field && this.#cipher.open(field.sealed, field.additionalData);
    const strings = plain && unpack(plain);
    if (!bytes || !strings) return undefined;
    const [app = '', unionId = '', uniqueId = '', region = '', issuedAt = '', ...values] = strings;
    const subject = { app, unionId, uniqueId };
    // A sealed text is bound to its id; a plain one is not, and can be any text.
    if (isInTheClear(field.sealed) && (subjectId(subject) !== id || !Number.isFinite(Number(issuedAt))))
      return undefined;
    return {
      subject,
      region,
      token: { fields: fieldsOf(values), issuedAt: Number(issuedAt), expiresAt: this.expiryOf(bytes) },
      generation: bytes.readUIntBE(3, 6),
      read: bytes[1] === 1,
      unreadRenewals: bytes.readUInt8(2),
    };
  }
}

function boundTo(header: Buffer, id: SubjectId, key: string): Buffer {
  return Buffer.concat([header.subarray(2), Buffer.from(`${key} ${id}`)]);
}

/** @param values the values of {@link POSITIONAL_FIELDS}, then the name and the value of each other field */
function fieldsOf(values: readonly string[]): Record<string, string> {
  const fields = POSITIONAL_FIELDS.map((name, index) => [name, values[index] ?? '']);
  for (let at = POSITIONAL_FIELDS.length; at < values.length; at += 2)
    fields.push([values[at] ?? '', values[at + 1] ?? '']);
  return Object.fromEntries(fields);
}

/** A time as Redis stores it: epoch ms as text, or no value. */
export function instantOf(bytes: Buffer | null | undefined): number | undefined {
  const instant = bytes ? Number(bytes) : Number.NaN;
  return Number.isFinite(instant) ? instant : undefined;
}

/** A country as Redis stores it, or no value. */
export function regionOf(bytes: Buffer | null | undefined): string | undefined {
  const region = bytes?.toString();
  return region !== undefined && REGION_PATTERN.test(region) ? region : undefined;
}
