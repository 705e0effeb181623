/** Three words in a row, of which one may be a number, are no name. */
const ENGLISH = /\b[A-Za-z][a-z]*(?: (?:[a-z]+|\d+)){2}\b/;
/** What is the same in every language: code, values, links with one name, and names. */
const NAMES = /`[^`]*`|\$\{[^}]*\}|\[\w+\]\([^)]*\)|\b(?:App|Broker|Redis|unionId|accessId)\b/g;

/** Whether a text is Chinese, besides names and code. */
export function isChinese(text: string): boolean {
  const words = text.replaceAll(NAMES, '');
  return !ENGLISH.test(words) && (/\p{Script=Han}/u.test(words) || !/[a-z]/i.test(words));
}
