import fc from 'fast-check';

/** Strings of any code points, including lone surrogates. */
export function anyText(minLength: number): fc.Arbitrary<string> {
  const codePoint = fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.nat(0x10ffff));
  return fc.array(codePoint, { minLength }).map((points) => String.fromCodePoint(...points));
}

const character = fc
  .oneof(fc.nat(0x7f), fc.nat(0xd7ff), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((codePoint) => String.fromCodePoint(codePoint));

/** Strings without lone surrogates. The lengths are numbers of code points. */
export function wellFormedText(length: { minLength?: number; maxLength?: number } = {}): fc.Arbitrary<string> {
  // The unit `binary` of fast-check is the same, but computes a table of all code points in each process.
  return fc.string({ ...length, unit: character });
}
