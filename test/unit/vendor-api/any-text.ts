import fc from 'fast-check';

/** Strings of any code points, including lone surrogates. */
export function anyText(minLength: number): fc.Arbitrary<string> {
  const codePoint = fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.nat(0x10ffff));
  return fc.array(codePoint, { minLength }).map((points) => String.fromCodePoint(...points));
}
