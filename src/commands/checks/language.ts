import type { Environment } from '../../config/environment.ts';
import { UsageError } from '../command-line.ts';

/** The languages of `check`. To add one, add it here: the compiler then names every text that lacks it. */
const LANGUAGES = ['en', 'zh'] as const;
export type Language = (typeof LANGUAGES)[number];

/** One text in every language. */
export type Text = Readonly<Record<Language, string>>;

/** A name, a code or a number, which is the same in every language. */
export function untranslated(text: string): Text {
  return { en: text, zh: text };
}

/**
 * The language of the output: `--lang`, else that of the terminal, in the order of POSIX.
 * @throws UsageError if `--lang` names no language
 */
export function languageOf(flag: string | undefined, { LC_ALL, LC_MESSAGES, LANG }: Environment): Language {
  if (flag === undefined) return /^zh/i.test(LC_ALL || LC_MESSAGES || LANG || '') ? 'zh' : 'en';
  const language = LANGUAGES.find((one) => one === flag);
  if (language === undefined) throw new UsageError(`--lang must be one of ${LANGUAGES.join(', ')}`);
  return language;
}

const WIDE = /[\p{Script=Han}\u3000-\u303f\uff00-\uff60]/gu;

/** The width of a text in columns of a terminal, where a Chinese character takes two. */
export function columnsOf(text: string): number {
  return text.length + (text.match(WIDE)?.length ?? 0);
}
