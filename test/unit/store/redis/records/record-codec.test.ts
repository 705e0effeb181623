import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HEADER_LENGTH, instantOf, RecordCodec } from '../../../../../src/store/redis/records/record-codec.ts';
import { TokenCipher } from '../../../../../src/store/redis/records/token-cipher.ts';
import type { TokenRecord } from '../../../../../src/token/sdk-token.ts';
import { type SubjectId, subjectId } from '../../../../../src/token/subject.ts';
import { wellFormedText } from '../../../../support/any-text.ts';
import { tokenRecord } from '../../../token/records.ts';

const OLD = { id: 'k1', key: randomBytes(32) };
const NEW = { id: 'k2', key: randomBytes(32) };
const KEY = 'sdkt:{7}:a:account';
const READ_FLAG = 1;
const SUSPECT_FLAG = 2;

const codec = new RecordCodec(new TokenCipher([OLD]));
const clear = new RecordCodec(new TokenCipher([]));
const record = tokenRecord();
const id = subjectId(record.subject);

const text = wellFormedText();
const instant = fc.nat(2 ** 48 - 1);
const KNOWN = ['accessId', 'accessToken', 'expireTime', 'terminalId', 'expand', 'expend'];

/** The fields of a vendor's answer in the order of a record: the known fields, then any others. */
const anyFields = fc
  .tuple(fc.tuple(text, text, text, text, text, text), fc.dictionary(text, text, { maxKeys: 5, noNullPrototype: true }))
  .map(([known, more]) => {
    const entries: [string, string][] = KNOWN.map((name, index) => [name, known[index] ?? '']);
    const others = Object.entries(more).filter(([name]) => !KNOWN.includes(name));
    return Object.fromEntries([...entries, ...others]);
  });

const anyRecord: fc.Arbitrary<TokenRecord> = fc.record({
  subject: fc.record({ app: text, unionId: text, uniqueId: text }),
  region: text,
  token: fc.record({ fields: anyFields, issuedAt: instant, expiresAt: instant }),
  generation: instant,
  answeredAt: instant,
  read: fc.boolean(),
  unreadRenewals: fc.nat(255),
  suspect: fc.boolean(),
});

describe('a stored record', () => {
  test('decodes to the same record with its fields in the same order, sealed or in the clear', () => {
    fc.assert(
      fc.property(anyRecord, text, fc.constantFrom(codec, clear), (any, key, either) => {
        const anyId = subjectId(any.subject);
        const decoded = either.decode(either.encode(any, anyId, key), anyId, key);
        expect(decoded).toEqual(any);
        expect(JSON.stringify(decoded?.token.fields)).toBe(JSON.stringify(any.token.fields));
      }),
      { numRuns: 500 },
    );
  });

  test('counts unread renewals up to 255 and not further', () => {
    const often = { ...record, unreadRenewals: 256 };
    expect(codec.decode(codec.encode(often, id, KEY), id, KEY)?.unreadRenewals).toBe(255);
  });

  test('shows in its second byte alone whether it was read', () => {
    const bytes = codec.encode(record, id, KEY);
    expect(codec.decode(bytes, id, KEY)).toMatchObject({ read: false });
    bytes[READ_FLAG] = 1;
    expect(codec.decode(bytes, id, KEY)).toEqual({ ...record, read: true });
  });

  test('shows its expiry without a key', () => {
    expect(codec.encode(record, id, KEY).readUIntBE(10, 6)).toBe(Math.floor(record.token.expiresAt));
  });

  test('shows in its third byte alone whether another login may have ended the token', () => {
    const bytes = codec.encode(record, id, KEY);
    expect(codec.decode(bytes, id, KEY)).toMatchObject({ suspect: false });
    bytes[SUSPECT_FLAG] = 1;
    expect(codec.decode(bytes, id, KEY)).toEqual({ ...record, suspect: true });
  });

  test('does not decode with any single bit flipped, except the read flag and the suspect flag', () => {
    const bytes = codec.encode(record, id, KEY);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const at = bit >> 3;
      if (at === READ_FLAG || at === SUSPECT_FLAG) continue;
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit & 7));
      expect(codec.decode(flipped, id, KEY), `bit ${bit & 7} of byte ${at}`).toBeUndefined();
    }
  });

  test('does not decode when it is cut short', () => {
    const bytes = codec.encode(record, id, KEY);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(codec.decode(bytes.subarray(0, length), id, KEY)).toBeUndefined();
    }
  });

  test('does not decode at another key, for another terminal, or with the header of another record', () => {
    const bytes = codec.encode(record, id, KEY);
    const other = { ...record, subject: { ...record.subject, uniqueId: 'other' }, generation: record.generation + 1 };
    const otherId = subjectId(other.subject);
    expect(codec.decode(bytes, id, KEY)).toEqual(record);
    expect(codec.decode(bytes, id, `${KEY}x`)).toBeUndefined();
    expect(codec.decode(bytes, otherId, KEY)).toBeUndefined();
    const newer = codec.encode({ ...record, generation: record.generation + 1 }, id, KEY);
    expect(codec.decode(Buffer.concat([newer.subarray(0, 15), bytes.subarray(15)]), id, KEY)).toBeUndefined();
  });

  test('does not decode for an id with another character of the same low byte', () => {
    const like = String.fromCharCode(0x100 + id.charCodeAt(0)) + id.slice(1);
    expect(codec.decode(codec.encode(record, id, KEY), like as SubjectId, KEY)).toBeUndefined();
  });

  test('in the clear decodes for its own terminal only', () => {
    const otherId = subjectId({ ...record.subject, uniqueId: 'other' });
    expect(clear.decode(clear.encode(record, id, KEY), otherId, KEY)).toBeUndefined();
  });

  test('never throws on random bytes', () => {
    const anyBytes = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    const bytes = clear.encode(record, id, KEY);
    const damaged = fc.tuple(fc.nat(bytes.length), anyBytes);
    fc.assert(
      fc.property(damaged, ([at, junk]) => {
        const stored = Buffer.concat([bytes.subarray(0, at), junk]);
        expect(codec.decode(stored, id, KEY)).toBeUndefined();
        expect(() => clear.decode(stored, id, KEY)).not.toThrow();
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the keys that seal records', () => {
  test('can be rotated: records sealed under the old key open until it leaves the ring', () => {
    const bytes = codec.encode(record, id, KEY);
    expect(new RecordCodec(new TokenCipher([NEW, OLD])).decode(bytes, id, KEY)).toEqual(record);
    for (const ring of [[NEW], [{ id: OLD.id, key: NEW.key }], []]) {
      expect(new RecordCodec(new TokenCipher(ring)).decode(bytes, id, KEY)).toBeUndefined();
    }
  });

  test('once set, make plain records unreadable and out of date', () => {
    const bytes = clear.encode(record, id, KEY);
    expect(codec.decode(bytes, id, KEY)).toBeUndefined();
    const sealed = bytes.subarray(HEADER_LENGTH);
    expect([[], [OLD]].map((ring) => new TokenCipher(ring).isCurrent(sealed))).toEqual([true, false]);
  });

  test('seal the same record differently each time, in the length of the key id, the IV and the tag more', () => {
    const sealed = Array.from({ length: 50 }, () => codec.encode(record, id, KEY));
    expect(new Set(sealed.map((bytes) => bytes.toString('hex'))).size).toBe(50);
    const plain = clear.encode(record, id, KEY);
    for (const bytes of sealed) expect(bytes).toHaveLength(plain.length + 2 + 12 + 16);
  });

  test('hide account, terminal and token', () => {
    const { accessToken = '', accessId = '' } = record.token.fields;
    const canaries = [record.subject.unionId, record.subject.uniqueId, accessToken, accessId];
    const seen = (bytes: Buffer) => canaries.filter((canary) => bytes.includes(canary)).length;
    expect(seen(codec.encode(record, id, KEY))).toBe(0);
    expect(seen(clear.encode(record, id, KEY))).toBe(4);
  });
});

test.each(['1e99', 'NaN', '8640000000000001', 'soon'])('an erasure at "%s" in Redis counts as none', (stored) => {
  expect(instantOf(Buffer.from(stored))).toBeUndefined();
});
