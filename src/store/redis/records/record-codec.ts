import type { TokenRecord } from '../../../token/sdk-token.ts';
import { type SubjectId, subjectId, terminalOf } from '../../../token/subject.ts';
import { pack, unpack } from './packing.ts';
import { isInTheClear, type SealedText, type TokenCipher } from './token-cipher.ts';

/**
 * A record in Redis: a plain header the scripts can read, then the sealed rest.
 *
 * | byte | |
 * |---|---|
 * | 0 | format, 1 |
 * | 1 | 1 once an app has read this generation; the only part that changes in place |
 * | 2 | unread renewals in a row |
 * | 3–8 | generation |
 * | 9–14 | expiry, epoch ms |
 * | 15… | sealed: subject, region, issue time, the token's fields |
 */
const FORMAT = 1;
const HEADER_LENGTH = 15;
const KNOWN_FIELDS = ['accessId', 'accessToken', 'expireTime', 'terminalId', 'expand', 'expend'] as const;
const KNOWN: ReadonlySet<string> = new Set(KNOWN_FIELDS);

export class RecordCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  /** @param key the Redis key it is stored at: with the id and the header the additional data it is bound to */
  encode(record: TokenRecord, id: SubjectId, key: string): Buffer {
    const { subject, region, token } = record;
    const header = Buffer.alloc(HEADER_LENGTH);
    header.writeUInt8(FORMAT, 0);
    header.writeUInt8(record.read ? 1 : 0, 1);
    header.writeUInt8(Math.min(record.unreadRenewals, 255), 2);
    header.writeUIntBE(record.generation, 3, 6);
    header.writeUIntBE(Math.floor(token.expiresAt), 9, 6);
    const known = KNOWN_FIELDS.map((name) => token.fields[name] ?? '');
    const more = Object.entries(token.fields).filter(([name]) => !KNOWN.has(name));
    const plain = [
      subject.app,
      subject.unionId,
      subject.uniqueId,
      region,
      String(token.issuedAt),
      ...known,
      ...more.flat(),
    ];
    return Buffer.concat([header, this.#cipher.seal(pack(plain), boundTo(header, id, key))]);
  }

  /** Whether the key that seals now sealed the record. */
  isCurrent(bytes: Buffer): boolean {
    return this.#cipher.isCurrent(bytes.subarray(HEADER_LENGTH));
  }

  /** What of the record is sealed; `undefined` where it is no record. */
  sealedText(bytes: Buffer, id: SubjectId, key: string): SealedText | undefined {
    if (bytes.length <= HEADER_LENGTH || bytes[0] !== FORMAT) return undefined;
    const additionalData = boundTo(bytes.subarray(0, HEADER_LENGTH), id, key);
    const sealed = bytes.subarray(HEADER_LENGTH);
    return { key, field: terminalOf(id), headLength: HEADER_LENGTH, sealed, additionalData };
  }

  /** Epoch ms at which the record ends, whether it can be opened or not. */
  expiryOf(bytes: Buffer): number {
    return bytes.readUIntBE(9, 6);
  }

  /** `undefined` where the record cannot be opened, or is not this subject's: it then costs a login, not an error. */
  decode(bytes: Buffer, id: SubjectId, key: string): TokenRecord | undefined {
    const text = this.sealedText(bytes, id, key);
    const plain = text && this.#cipher.open(text.sealed, text.additionalData);
    const strings = plain && unpack(plain);
    if (!strings) return undefined;
    const header = bytes.subarray(0, HEADER_LENGTH);
    const [app = '', unionId = '', uniqueId = '', region = '', issuedAt = '', ...values] = strings;
    const subject = { app, unionId, uniqueId };
    // What was sealed is bound to its id already.
    if (isInTheClear(text.sealed) && subjectId(subject) !== id) return undefined;
    return {
      subject,
      region,
      token: { fields: fieldsOf(values), issuedAt: Number(issuedAt), expiresAt: header.readUIntBE(9, 6) },
      generation: header.readUIntBE(3, 6),
      read: header[1] === 1,
      unreadRenewals: header.readUInt8(2),
    };
  }
}

function boundTo(header: Buffer, id: SubjectId, key: string): Buffer {
  return Buffer.concat([header.subarray(2), Buffer.from(`${key} ${id}`)]);
}

/** @param values those of {@link KNOWN_FIELDS}, then names and values by turns */
function fieldsOf(values: readonly string[]): Record<string, string> {
  const [accessId = '', accessToken = '', expireTime = '', terminalId = '', expand = '', expend = '', ...more] = values;
  const known = { accessId, accessToken, expireTime, terminalId, expand, expend };
  if (more.length === 0) return known;
  const names = more.filter((_, index) => index % 2 === 0);
  return { ...known, ...Object.fromEntries(names.map((name, index) => [name, more[2 * index + 1] ?? ''])) };
}
