import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keyIdOf, TokenCipher } from '../../../../../src/store/redis/records/token-cipher.ts';

const OLD = { id: 'k1', key: randomBytes(32) };
const NEW = { id: 'k2', key: randomBytes(32) };
const BOUND = Buffer.from('where it belongs');

const cipher = new TokenCipher([OLD]);
const anyBytes = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));

describe('a sealed text', () => {
  test('opens to the same text, with the key or in the clear', () => {
    fc.assert(
      fc.property(anyBytes, anyBytes, fc.constantFrom([], [OLD], [NEW, OLD]), (plain, bound, ring) => {
        const either = new TokenCipher(ring);
        expect(either.open(either.seal(plain, bound), bound)).toEqual(plain);
      }),
    );
  });

  test('differs each time, and is always 31 bytes longer than the text', () => {
    const plain = Buffer.from('the same text');
    const sealed = Array.from({ length: 100 }, () => cipher.seal(plain, BOUND));
    expect(new Set(sealed.map((bytes) => bytes.toString('hex'))).size).toBe(100);
    for (const bytes of sealed) expect(bytes).toHaveLength(plain.length + 1 + 2 + 12 + 16);
  });

  test('opens only with the same additional data', () => {
    const sealed = cipher.seal(Buffer.from('text'), BOUND);
    expect(cipher.open(sealed, BOUND)).toEqual(Buffer.from('text'));
    expect(cipher.open(sealed, Buffer.from('elsewhere'))).toBeUndefined();
    expect(cipher.open(sealed, Buffer.alloc(0))).toBeUndefined();
  });

  test('does not open with a flipped bit or when it is cut short', () => {
    const sealed = cipher.seal(Buffer.from('text'), BOUND);
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const flipped = Buffer.from(sealed);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(cipher.open(flipped, BOUND)).toBeUndefined();
    }
    for (let length = 0; length < sealed.length; length += 1) {
      expect(cipher.open(sealed.subarray(0, length), BOUND)).toBeUndefined();
    }
  });

  test('never throws on random bytes', () => {
    const prefix = fc.constantFrom(Buffer.alloc(0), Buffer.from('\x02k1'));
    fc.assert(
      fc.property(prefix, anyBytes, (head, bytes) => {
        expect(cipher.open(Buffer.concat([head, bytes]), BOUND)).toBeUndefined();
      }),
    );
  });
});

describe('a ring of keys', () => {
  const sealedWithOld = cipher.seal(Buffer.from('text'), BOUND);

  test('opens texts of its older keys, and seals with the first key', () => {
    const rotated = new TokenCipher([NEW, OLD]);
    expect(rotated.open(sealedWithOld, BOUND)).toEqual(Buffer.from('text'));
    expect(new TokenCipher([NEW]).open(rotated.seal(Buffer.from('text'), BOUND), BOUND)).toEqual(Buffer.from('text'));
  });

  test('does not open texts of a key that left the ring, or of another key with the same id', () => {
    expect(new TokenCipher([NEW]).open(sealedWithOld, BOUND)).toBeUndefined();
    expect(new TokenCipher([{ id: OLD.id, key: NEW.key }]).open(sealedWithOld, BOUND)).toBeUndefined();
  });

  test('knows the key id of a text, and whether that key is the current one', () => {
    const rotated = new TokenCipher([NEW, OLD]);
    const fresh = rotated.seal(Buffer.from('text'), BOUND);
    const plain = new TokenCipher([]).seal(Buffer.from('text'), BOUND);
    expect([sealedWithOld, fresh, plain].map(keyIdOf)).toEqual(['k1', 'k2', undefined]);
    expect([sealedWithOld, fresh, plain].map((text) => rotated.isCurrent(text))).toEqual([false, true, false]);
    expect([sealedWithOld, plain].map((text) => new TokenCipher([]).isCurrent(text))).toEqual([false, true]);
  });

  test('does not open plain texts; without keys, it opens no sealed text', () => {
    const clear = new TokenCipher([]);
    expect(cipher.open(clear.seal(Buffer.from('text'), BOUND), BOUND)).toBeUndefined();
    expect(clear.open(sealedWithOld, BOUND)).toBeUndefined();
  });
});
