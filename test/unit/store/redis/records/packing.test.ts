import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pack, unpack } from '../../../../../src/store/redis/records/packing.ts';

const LOWER_HEX = [...'0123456789abcdef'];
/** What looks as if it could be stored shorter, and must come back as it was all the same. */
const LOOK_ALIKES = [
  '',
  '0',
  '-0',
  '-',
  '00',
  '000000000000',
  '0123456789012',
  '+1234567890',
  '-012345678901',
  '1234567890.0',
  '1e10',
  ' 1234567890',
  '1234567890\n',
  '１２３４５６７８９０',
  '12345678',
  '123456789',
  '-123456789',
  '1000000000000000000',
  '-1000000000000000000',
  '9999999999999999999',
  '10000000000000000000',
  '9223372036854775806',
  '9223372036854775807',
  '9223372036854775808',
  '-9223372036854775807',
  '-9223372036854775808',
  '-9223372036854775809',
  '18446744073709551615',
  'abcdef0123456789abcdef',
  'ABCDEF0123456789ABCDEF',
  'abcdef0123456789abcdeF',
  'abcdef0123456789abcdef0',
  'abcdef0123456789abcdeg',
  'abcdef0123456789abcdef\n',
  '11111111111111111111',
  '1111111111111111111111',
  '123e4567-e89b-12d3-a456-426614174000',
  '00000000-0000-0000-0000-000000000000',
  '123E4567-e89b-12d3-a456-426614174000',
  '123e4567-e89b-12d3-a456-42661417400',
  '123e4567-e89b-12d3-a456-4266141740000',
  '123e4567-e89b-12d3-a456-426614174000\n',
  '123e4567e89b-12d3-a456-4266-14174000',
];

const hexOf = (...digits: string[]) => fc.string({ unit: fc.constantFrom(...digits), maxLength: 300 });

/** Any well-formed text, most of it of the kinds that are stored in a form of their own. */
const anyText = fc.oneof(
  fc.constantFrom(...LOOK_ALIKES),
  hexOf(...LOWER_HEX),
  hexOf(...LOWER_HEX, 'A', 'F'),
  fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String),
  fc.bigInt({ min: -(2n ** 34n), max: 2n ** 34n }).map(String),
  fc.uuid(),
  fc.string({ unit: 'binary', maxLength: 200 }),
);

/** Lists with repeats in them. */
const anyList = fc
  .tuple(fc.array(anyText, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 12 }))
  .map(([texts, picks]) => [...texts, ...picks.flatMap((pick) => texts.slice(pick % (texts.length + 1)).slice(0, 1))]);

describe('packed strings', () => {
  test('come back as they were, whatever they look like and however often they repeat', () => {
    fc.assert(
      fc.property(anyList, (texts) => {
        expect(unpack(pack(texts))).toEqual(texts);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each(LOOK_ALIKES)('come back as they were: %j', (text) => {
    expect(unpack(pack([text, '', text]))).toEqual([text, '', text]);
  });

  test('come back as they were when they are long, or many', () => {
    const long = ['é'.repeat(10_000), 'ab'.repeat(40_000), 'x'.repeat(31), 'x'.repeat(32)];
    const many = Array.from({ length: 500 }, (_, number) => `${number % 250}-`);
    expect(unpack(pack(long))).toEqual(long);
    expect(unpack(pack(many))).toEqual(many);
  });

  test('take half a byte for a digit of hexadecimal and of a UUID, eight bytes at most for an integer, one for a repeat', () => {
    expect(pack(['0181c4b7f29e5d3a'.repeat(8)])).toHaveLength(64 + 2);
    expect(pack(['-9223371996052586423'])).toHaveLength(8 + 1);
    expect(pack(['-9223371996052586423', '-9223371996052586423'])).toHaveLength(8 + 1 + 1);
    expect(pack(['1699349988'])).toHaveLength(4 + 1);
    expect(pack(['1699349988123'])).toHaveLength(6 + 1);
    expect(pack(['123e4567-e89b-12d3-a456-426614174000'])).toHaveLength(16 + 1);
  });
});

describe('bytes nobody packed', () => {
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.tuple(anyList, fc.nat()).map(([texts, length]) => {
      const packed = pack(texts);
      return packed.subarray(0, length % (packed.length + 1));
    }),
    fc.tuple(anyList, fc.nat(), fc.nat(255)).map(([texts, place, mask]) => {
      const packed = pack(texts);
      const at = place % (packed.length + 1);
      return Buffer.concat([packed.subarray(0, at), Buffer.of(mask), packed.subarray(at + 1)]);
    }),
  );

  test('never throw: they are a list of strings, or nothing', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const texts = unpack(bytes);
        expect(texts === undefined || texts.every((text) => typeof text === 'string')).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    { what: 'a length that never ends', bytes: Buffer.alloc(400, 0x80) },
    { what: 'a length beyond all numbers', bytes: Buffer.alloc(400, 0xff) },
    { what: 'a length that is cut off', bytes: Buffer.of(0x83) },
    { what: 'more than there is', bytes: Buffer.of(2 * 4, 0x61) },
    { what: 'a repeat of what was never there', bytes: Buffer.of(0 * 4 + 3) },
    { what: 'a repeat of what comes later', bytes: Buffer.of(1 * 4, 0x61, 1 * 4 + 3) },
    { what: 'an integer of no bytes', bytes: Buffer.of(0 * 4 + 2) },
    { what: 'an integer of nine bytes', bytes: Buffer.of(9 * 4 + 2, 1, 2, 3, 4, 5, 6, 7, 8, 9) },
  ])('are nothing when they announce $what', ({ bytes }) => {
    expect(unpack(bytes)).toBeUndefined();
  });
});
