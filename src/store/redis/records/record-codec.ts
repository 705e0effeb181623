import { hash } from 'node:crypto';
import { z } from 'zod';
import type { TokenRecord } from '../../../token/sdk-token.ts';
import {
  type AccessIdList,
  MAX_ACCESS_IDS,
  REGION_PATTERN,
  type SubjectId,
  subjectId,
  terminalOf,
} from '../../../token/subject.ts';
import type { SealedField, TokenCipher } from './token-cipher.ts';

/** The fields of an account's hash beside its records, whose fields are longer: the digests of the terminals. */
export const ACCOUNT_FIELDS = {
  /** The pinned country. */
  region: 'r',
  /** unionId and accessIds, sealed. */
  directory: 'd',
  /** Epoch ms of the last erasure. */
  erasedAt: 'e',
  /** Epoch ms of the last logout of the whole account. */
  loggedOutAt: 'l',
} as const;

/**
 * A record in Redis: a plain header, which the scripts read too, then a sealed text.
 *
 * | byte | |
 * |---|---|
 * | 0 | format, 1 |
 * | 1 | 1 once an app has read this generation; a script changes it in place |
 * | 2 | 1 if another login may have ended the token; a script changes it in place |
 * | 3 | number of unread renewals in a row |
 * | 4–9 | generation |
 * | 10–15 | expiry, epoch ms |
 * | 16–21 | when the vendor had answered the login, epoch ms by the clock of Redis |
 * | 22–25 | a digest of the `accessToken`, which tells two logins of the same time apart |
 * | 26… | sealed by {@link TokenCipher}: the subject, region, issue time and the token's fields, as JSON |
 */
const FORMAT = 1;
export const HEADER_LENGTH = 26;
const FINGERPRINT_LENGTH = 4;
/** The bytes in front of this one are not bound to the sealed text, because scripts change them. */
const BOUND_FROM = 3;
/**
 * Anyone who can write to Redis can write any generation. One further ahead counts as none: the next one might not fit
 * into a record. It is a year, because the clock of Redis may be wrong, differ from ours, or be set back.
 */
export const MAX_LEAD_MS = 366 * 86_400_000;

/**
 * A JSON array: the subject, its country, the issue time, the values of {@link TOKEN_FIELDS}, and an object with the
 * other fields. Names for all of them would take a third of the memory of a record.
 */
const sealedRecordSchema = z.tuple([
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.number(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.record(z.string(), z.string()),
]);
type SealedRecord = z.infer<typeof sealedRecordSchema>;

export class RecordCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  /** The plain part of a record. */
  headerOf(record: TokenRecord): Buffer {
    const { token } = record;
    const header = Buffer.alloc(HEADER_LENGTH);
    header.writeUInt8(FORMAT, 0);
    header.writeUInt8(record.read ? 1 : 0, 1);
    header.writeUInt8(record.suspect ? 1 : 0, 2);
    header.writeUInt8(Math.min(record.unreadRenewals, 255), 3);
    header.writeUIntBE(record.generation, 4, 6);
    header.writeUIntBE(Math.floor(token.expiresAt), 10, 6);
    header.writeUIntBE(record.answeredAt, 16, 6);
    hash('sha256', token.fields['accessToken'] ?? '', 'buffer').copy(header, 22, 0, FINGERPRINT_LENGTH);
    return header;
  }

  /** @param key the Redis key of the record's hash; the sealed text is bound to it, to the id and to the header */
  encode(record: TokenRecord, id: SubjectId, key: string): Buffer {
    const { subject, region, token } = record;
    const header = this.headerOf(record);
    const { app, unionId, uniqueId } = subject;
    const { accessId = '', accessToken = '', expireTime = '', terminalId = '', ...more } = token.fields;
    const { expand = '', expend = '', ...others } = more;
    const known = [accessId, accessToken, expireTime, terminalId, expand, expend] as const;
    const text: SealedRecord = [app, unionId, uniqueId, region, token.issuedAt, ...known, others];
    const plain = Buffer.from(JSON.stringify(text));
    return Buffer.concat([header, this.#cipher.seal(plain, boundTo(header, id, key))]);
  }

  /** `undefined` when the bytes are no record. */
  sealedField(bytes: Buffer, id: SubjectId, key: string): SealedField | undefined {
    if (bytes.length <= HEADER_LENGTH || bytes[0] !== FORMAT) return undefined;
    const additionalData = boundTo(bytes, id, key);
    const sealed = bytes.subarray(HEADER_LENGTH);
    return { key, field: terminalOf(id), headLength: HEADER_LENGTH, sealed, additionalData };
  }

  /** `undefined` when the record does not open or belongs to another subject. It then costs a login, not an error. */
  decode(bytes: Buffer | null | undefined, id: SubjectId, key: string): TokenRecord | undefined {
    const field = bytes ? this.sealedField(bytes, id, key) : undefined;
    const plain = field && this.#cipher.open(field.sealed, field.additionalData);
    if (!bytes || !plain) return undefined;
    // A sealed text is bound to its id, so a broker wrote it. One in the clear can be any text.
    const isSealed = bytes[HEADER_LENGTH] !== 0;
    const text = isSealed ? (parsedJson(plain) as SealedRecord | undefined) : recordInTheClear(plain, id);
    if (!text) return undefined;
    const [app, unionId, uniqueId, region, issuedAt, ...values] = text;
    const [accessId, accessToken, expireTime, terminalId, expand, expend, others] = values;
    const fields = { accessId, accessToken, expireTime, terminalId, expand, expend, ...others };
    const subject = { app, unionId, uniqueId };
    const token = { fields, issuedAt, expiresAt: bytes.readUIntBE(10, 6) };
    const [generation, answeredAt] = [bytes.readUIntBE(4, 6), bytes.readUIntBE(16, 6)];
    const [read, suspect, unreadRenewals] = [bytes[1] === 1, bytes[2] === 1, bytes.readUInt8(3)];
    return { subject, region, token, generation, answeredAt, read, suspect, unreadRenewals };
  }

  /** The generation of a record that {@link decode} cannot open, and why; `undefined` if the bytes are no record. */
  unreadable(bytes: Buffer, id: SubjectId, key: string) {
    const field = this.sealedField(bytes, id, key);
    return field && { generation: bytes.readUIntBE(4, 6), reason: this.#cipher.whyUnreadable(field.sealed) };
  }
}

function boundTo(record: Buffer, id: SubjectId, key: string): Buffer {
  const bound = Buffer.from(`${'0'.repeat(HEADER_LENGTH - BOUND_FROM)}${key} ${id}`);
  record.copy(bound, 0, BOUND_FROM, HEADER_LENGTH);
  return bound;
}

/** `undefined` when the text is no record of this subject. */
function recordInTheClear(plain: Buffer, id: SubjectId): SealedRecord | undefined {
  const text = parsedJson(plain) as SealedRecord;
  // The copy that zod makes has no field with the name __proto__.
  if (!sealedRecordSchema.safeParse(text).success) return undefined;
  const [app, unionId, uniqueId] = text;
  return subjectId({ app, unionId, uniqueId }) === id ? text : undefined;
}

/** Twice the vendor's longest answer. A forged value may be longer, and parsed JSON takes up to 30 times its length. */
export const MAX_STORED_BYTES = 2 ** 19;

/** `undefined` when the text is no JSON. */
function parsedJson(text: Buffer): unknown {
  if (text.length > MAX_STORED_BYTES) return undefined;
  try {
    return JSON.parse(text.toString());
  } catch {
    return undefined;
  }
}

/** The accessIds of an account. The entry outlives the account's tokens. */
export interface DirectoryEntry {
  readonly unionId: string;
  readonly accessIds: AccessIdList;
}

/** The sealed text of an entry: a JSON array of the unionId and the accessIds, the newest first. */
const sealedEntrySchema = z.tuple([z.string(), z.string()], z.string());

/** Directory entries, sealed and bound to the key of their account. */
export class DirectoryCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  encode({ unionId, accessIds }: DirectoryEntry, key: string): Buffer {
    return this.#cipher.seal(Buffer.from(JSON.stringify([unionId, ...accessIds])), Buffer.from(key));
  }

  /** Whether the entry is sealed under the current key. */
  isCurrent(entry: Buffer): boolean {
    return this.#cipher.isCurrent(entry);
  }

  sealedField(entry: Buffer, key: string): SealedField {
    return { key, field: ACCOUNT_FIELDS.directory, headLength: 0, sealed: entry, additionalData: Buffer.from(key) };
  }

  /** `undefined` when no key opens the entry. */
  decode(entry: Buffer | null | undefined, key: string): DirectoryEntry | undefined {
    const plain = entry && this.#cipher.open(entry, Buffer.from(key));
    const { data } = sealedEntrySchema.safeParse(plain && parsedJson(plain));
    if (!data) return undefined;
    const [unionId, newest, ...former] = data;
    return { unionId, accessIds: [newest, ...former.slice(0, MAX_ACCESS_IDS - 1)] };
  }
}

/** The latest time of a `Date`. Anyone who can write to Redis can write a later one, which counts as none. */
const LATEST_MS = 8.64e15;

/** A time as Redis stores it: epoch ms as text, or no value. */
export function instantOf(bytes: Buffer | null | undefined): number | undefined {
  const instant = bytes ? Number(bytes) : Number.NaN;
  return Math.abs(instant) <= LATEST_MS ? instant : undefined;
}

/** A country as Redis stores it, or no value. */
export function regionOf(bytes: Buffer | null | undefined): string | undefined {
  const region = bytes?.toString();
  return region !== undefined && REGION_PATTERN.test(region) ? region : undefined;
}
