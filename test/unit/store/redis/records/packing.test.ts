import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pack, unpack } from '../../../../../src/store/redis/records/record-codec.ts';

const LOWER_HEX = [...'0123456789abcdef'];
/** Strings that look like one of the short forms, but must not be changed by it. */
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
  // The ends of the integers of 6 and of 7 bytes.
  '140737488355327',
  '140737488355328',
  '36028797018963967',
  '-36028797018963968',
  '36028797018963968',
  '-36028797018963969',
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

/** Any well-formed text, mostly of the kinds that have a short form. */
const anyText = fc.oneof(
  fc.constantFrom(...LOOK_ALIKES),
  hexOf(...LOWER_HEX),
  hexOf(...LOWER_HEX, 'A', 'F'),
  fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String),
  fc.bigInt({ min: -(2n ** 34n), max: 2n ** 34n }).map(String),
  fc.uuid(),
  fc.string({ unit: 'binary', maxLength: 200 }),
);

/** Lists with repeated strings. */
const anyList = fc
  .tuple(fc.array(anyText, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 12 }))
  .map(([texts, picks]) => [...texts, ...picks.flatMap((pick) => texts.slice(pick % (texts.length + 1)).slice(0, 1))]);

describe('packed strings', () => {
  test('unpack to the same strings, for any content and any repetition', () => {
    fc.assert(
      fc.property(anyList, (texts) => {
        expect(unpack(pack(texts))).toEqual(texts);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each(LOOK_ALIKES)('unpack to the same strings: %j', (text) => {
    expect(unpack(pack([text, '', text]))).toEqual([text, '', text]);
  });

  test('unpack to the same strings when they are long or many', () => {
    const long = ['é'.repeat(10_000), 'ab'.repeat(40_000), 'x'.repeat(31), 'x'.repeat(32)];
    const many = Array.from({ length: 500 }, (_, number) => `${number % 250}-`);
    expect(unpack(pack(long))).toEqual(long);
    expect(unpack(pack(many))).toEqual(many);
  });

  test('take half a byte per hexadecimal digit, also in a UUID, at most eight bytes per integer, and one per repeat', () => {
    expect(pack(['0181c4b7f29e5d3a'.repeat(8)])).toHaveLength(64 + 2);
    expect(pack(['-9223371996052586423'])).toHaveLength(8 + 1);
    expect(pack(['-9223371996052586423', '-9223371996052586423'])).toHaveLength(8 + 1 + 1);
    expect(pack(['1699349988'])).toHaveLength(4 + 1);
    expect(pack(['1699349988123'])).toHaveLength(6 + 1);
    expect(pack(['123e4567-e89b-12d3-a456-426614174000'])).toHaveLength(16 + 1);
  });
});

describe('bytes that are not packed strings', () => {
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

  test('never throw: they unpack to strings or to undefined', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const texts = unpack(bytes);
        expect(texts === undefined || texts.every((text) => typeof text === 'string')).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    { what: 'a length without an end', bytes: Buffer.alloc(400, 0x80) },
    { what: 'a length beyond every integer', bytes: Buffer.alloc(400, 0xff) },
    { what: 'a length that is cut off', bytes: Buffer.of(0x83) },
    { what: 'a length beyond the bytes', bytes: Buffer.of(2 * 4, 0x61) },
    { what: 'a repeat of no string', bytes: Buffer.of(0 * 4 + 3) },
    { what: 'a repeat that is cut off', bytes: Buffer.of(1 * 4, 0x61, 0x83) },
    { what: 'a repeat of a later string', bytes: Buffer.of(1 * 4, 0x61, 1 * 4 + 3) },
    { what: 'an integer of no bytes', bytes: Buffer.of(0 * 4 + 2) },
    { what: 'an integer of nine bytes', bytes: Buffer.of(9 * 4 + 2, 1, 2, 3, 4, 5, 6, 7, 8, 9) },
  ])('unpack to undefined with $what', ({ bytes }) => {
    expect(unpack(bytes)).toBeUndefined();
  });
});
