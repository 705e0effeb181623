/**
 * Splits a text into the words that the search compares. Chinese has no spaces, so `Intl.Segmenter` finds its words.
 *
 * VitePress writes the source of this function into each page. For this reason, it uses nothing outside itself.
 */
export function searchWords(text: string): string[] {
  // The characters at which MiniSearch splits by default. So TOKEN_ENCRYPTION_KEYS is three words.
  const parts = text.split(/[\n\r\p{Z}\p{P}]+/u).filter((part) => part !== '');
  if (!/\p{Script=Han}/u.test(text)) return parts;
  const segmenter = new Intl.Segmenter('zh', { granularity: 'word' });
  return parts.flatMap((part) =>
    /\p{Script=Han}/u.test(part)
      ? [...segmenter.segment(part)].filter(({ isWordLike }) => isWordLike).map(({ segment }) => segment)
      : [part],
  );
}
