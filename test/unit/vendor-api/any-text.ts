import fc from 'fast-check';

/** Strings of any code points, lone surrogates included. */
export function anyText(minLength: number): fc.Arbitrary<string> {
  const codePoint = fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.nat(0x10ffff));
  return fc.array(codePoint, { minLength }).map((points) => String.fromCodePoint(...points));
}
