import { hash } from 'node:crypto';
import { TOKEN_FIELDS, type TokenRecord } from '../../../token/sdk-token.ts';
import {
  type AccessIdList,
  MAX_ACCESS_IDS,
  REGION_PATTERN,
  type SubjectId,
  subjectId,
  terminalOf,
} from '../../../token/subject.ts';
import type { SealedField, TokenCipher } from './token-cipher.ts';

/** The fields of an account's hash beside its records. The field of a record is the terminal's digest, which is longer. */
export const ACCOUNT_FIELDS = {
  /** The pinned country. */
  region: 'r',
  /** unionId and accessIds, sealed. */
  directory: 'd',
  /** Epoch ms of the last erasure. */
  erasedAt: 'e',
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
 * | 26… | sealed: subject, region, issue time, the token's fields |
 */
const FORMAT = 1;
export const HEADER_LENGTH = 26;
const FINGERPRINT_LENGTH = 4;
/** The bytes in front of this one are not bound to the sealed text, because scripts change them. */
const BOUND_FROM = 3;
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
    const additionalData = boundTo(bytes, id, key);
    const sealed = bytes.subarray(HEADER_LENGTH);
    return { key, field: terminalOf(id), headLength: HEADER_LENGTH, sealed, additionalData };
  }

  /** Epoch ms at which the record expires, even when no key opens it. */
  expiryOf(bytes: Buffer): number {
    return bytes.readUIntBE(10, 6);
  }

  /** `undefined` when the record does not open or belongs to another subject. It then costs a login, not an error. */
  decode(bytes: Buffer | null | undefined, id: SubjectId, key: string): TokenRecord | undefined {
    const field = bytes ? this.sealedField(bytes, id, key) : undefined;
    const plain = field && this.#cipher.open(field.sealed, field.additionalData);
    const strings = plain && unpack(plain);
    if (!bytes || !strings) return undefined;
    const [app = '', unionId = '', uniqueId = '', region = '', issuedAt = '', ...values] = strings;
    const subject = { app, unionId, uniqueId };
    // A sealed text is bound to its id; a plain one, which names no key, is not, and can be any text.
    if (bytes[HEADER_LENGTH] === 0 && (subjectId(subject) !== id || !Number.isFinite(Number(issuedAt))))
      return undefined;
    const token = { fields: fieldsOf(values), issuedAt: Number(issuedAt), expiresAt: this.expiryOf(bytes) };
    const [generation, answeredAt] = [bytes.readUIntBE(4, 6), bytes.readUIntBE(16, 6)];
    const [read, suspect, unreadRenewals] = [bytes[1] === 1, bytes[2] === 1, bytes.readUInt8(3)];
    return { subject, region, token, generation, answeredAt, read, suspect, unreadRenewals };
  }
}

function boundTo(record: Buffer, id: SubjectId, key: string): Buffer {
  const bound = Buffer.from(`${'0'.repeat(HEADER_LENGTH - BOUND_FROM)}${key} ${id}`);
  // `copy` takes longer for so few bytes.
  for (let at = BOUND_FROM; at < HEADER_LENGTH; at += 1) bound[at - BOUND_FROM] = record[at] ?? 0;
  return bound;
}

/** @param values the values of {@link POSITIONAL_FIELDS}, then the name and the value of each other field */
function fieldsOf(values: readonly string[]): Record<string, string> {
  const [accessId = '', accessToken = '', expireTime = '', terminalId = '', expand = '', expend = '', ...more] = values;
  const fields = { accessId, accessToken, expireTime, terminalId, expand, expend };
  return more.length === 0 ? fields : { ...fields, ...moreFields(more) };
}

function moreFields(values: readonly string[]): Record<string, string> {
  const more: (readonly [string, string])[] = [];
  for (let at = 0; at < values.length; at += 2) more.push([values[at] ?? '', values[at + 1] ?? '']);
  return Object.fromEntries(more);
}

/** The accessIds of an account. The entry outlives the account's tokens. */
export interface DirectoryEntry {
  readonly unionId: string;
  readonly accessIds: AccessIdList;
}

/** Number of bytes in front of the sealed entry. They are zero; an earlier version kept a mark there. */
export const RESERVED_LENGTH = 6;

/** Directory entries, sealed and bound to the key of their account. */
export class DirectoryCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  /** Older replicas read the newest accessId only. */
  encode({ unionId, accessIds }: DirectoryEntry, key: string): Buffer {
    const sealed = this.#cipher.seal(pack([unionId, ...accessIds]), Buffer.from(key));
    return Buffer.concat([Buffer.alloc(RESERVED_LENGTH), sealed]);
  }

  /** Whether the entry is sealed under the current key. */
  isCurrent(entry: Buffer): boolean {
    return this.#cipher.isCurrent(entry.subarray(RESERVED_LENGTH));
  }

  sealedField(entry: Buffer, key: string): SealedField {
    const sealed = entry.subarray(RESERVED_LENGTH);
    const field = ACCOUNT_FIELDS.directory;
    return { key, field, headLength: RESERVED_LENGTH, sealed, additionalData: Buffer.from(key) };
  }

  /** `undefined` when no key opens the entry. */
  decode(entry: Buffer | null | undefined, key: string): DirectoryEntry | undefined {
    const plain = entry && this.#cipher.open(entry.subarray(RESERVED_LENGTH), Buffer.from(key));
    const [unionId, newest, ...former] = (plain && unpack(plain)) ?? [];
    if (unionId === undefined || newest === undefined) return undefined;
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

/**
 * Packs a list of strings into few bytes: two hexadecimal digits per byte, also in a UUID; a 64-bit integer as one to
 * eight bytes; a repeated string as a reference. Each string is a varint of `length * 4 + kind`, then its bytes. This
 * halves a token's record, from 344 to 173 bytes.
 */

const UTF8 = 0;
const HEX = 1;
/** An integer, or a UUID, which is longer than any integer. */
const NUMBER = 2;
/** The length is the index of the equal string. */
const REPEAT = 3;

const INT64_LENGTH = 8;
/** Bytes of an integer that a number holds exactly. */
const SAFE_LENGTH = 6;
const UUID_LENGTH = 16;
const LONGEST_INTEGER_TEXT = 20;
const UUID_TEXT_LENGTH = 36;

const DIGITS = /^[0-9a-f]+$/;
const INTEGER = /^-?[1-9][0-9]{8,18}$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Maximum bytes of UTF-8 per unit of a string, and maximum bytes of a varint. */
const LONGEST_UNIT = 3;
const LONGEST_VARINT = 5;

export function pack(strings: readonly string[]): Buffer {
  const most = strings.reduce((sum, { length }) => sum + LONGEST_VARINT + LONGEST_UNIT * length, 0);
  const packed = Buffer.allocUnsafe(most);
  let end = 0;
  for (const [index, text] of strings.entries()) {
    const first = strings.indexOf(text);
    end = first < index ? writeVarint(packed, end, first * 4 + REPEAT) : writeText(packed, end, text);
  }
  return packed.subarray(0, end);
}

/** Never throws. @returns `undefined` when the bytes are no packed list */
export function unpack(bytes: Buffer): string[] | undefined {
  const strings: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    let head = 0;
    for (let byte = 0x80, shift = 1; byte >= 0x80; shift *= 128) {
      byte = bytes[at++] ?? 0;
      head += (byte & 0x7f) * shift;
    }
    // A length that is cut off ends beyond the bytes. One that no number can hold is NaN, which no kind takes.
    const kind = head % 4;
    const length = (head - kind) / 4;
    const end = kind === REPEAT ? at : at + length;
    const text = kind === REPEAT ? strings[length] : readText(kind, bytes, at, end);
    if (text === undefined || end > bytes.length) return undefined;
    strings.push(text);
    at = end;
  }
  return strings;
}

/** @returns the index after the text, as the other write functions do */
function writeText(bytes: Buffer, start: number, text: string): number {
  const { length } = text;
  if (length <= LONGEST_INTEGER_TEXT) {
    const integer = INTEGER.test(text) ? BigInt(text) : undefined;
    if (integer !== undefined && BigInt.asIntN(64, integer) === integer) return writeInteger(bytes, start, integer);
  } else if (length % 2 === 0 && DIGITS.test(text)) {
    return writeHex(bytes, start, HEX, text);
  } else if (length === UUID_TEXT_LENGTH && UUID.test(text)) {
    return writeHex(bytes, start, NUMBER, text.replaceAll('-', ''));
  }
  const at = writeVarint(bytes, start, Buffer.byteLength(text) * 4 + UTF8);
  return at + bytes.write(text, at);
}

/** @returns `undefined` when the bytes end before the text does, or when no number has this length */
function readText(kind: number, bytes: Buffer, start: number, end: number): string | undefined {
  const length = end - start;
  if (end > bytes.length) return undefined;
  if (kind === UTF8) return bytes.toString('utf8', start, end);
  if (kind === NUMBER && length >= 1 && length <= SAFE_LENGTH) return String(bytes.readIntBE(start, length));
  if (kind === NUMBER && length === INT64_LENGTH) return String(bytes.readBigInt64BE(start));
  const hex = bytes.toString('hex', start, end);
  if (kind === HEX) return hex;
  if (length === UUID_LENGTH) return uuidOf(hex);
  const isInteger = length > SAFE_LENGTH && length < INT64_LENGTH;
  return isInteger ? String(BigInt.asIntN(8 * length, BigInt(`0x${hex}`))) : undefined;
}

/** `join` makes one flat string. A template would keep a tree of its parts in memory, as long as the token is there. */
function uuidOf(hex: string): string {
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function writeHex(bytes: Buffer, start: number, kind: number, digits: string): number {
  const at = writeVarint(bytes, start, (digits.length / 2) * 4 + kind);
  return at + bytes.write(digits, at, 'hex');
}

/** Big-endian two's complement, without leading bytes that only repeat the sign. */
function writeInteger(bytes: Buffer, start: number, integer: bigint): number {
  let length = 1;
  while (length < INT64_LENGTH && BigInt.asIntN(8 * length, integer) !== integer) length += 1;
  const hex = BigInt.asUintN(8 * length, integer).toString(16);
  return writeHex(bytes, start, NUMBER, hex.padStart(2 * length, '0'));
}

function writeVarint(bytes: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 128) + 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}
