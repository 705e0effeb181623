/**
 * Digits, some punctuation, and letters of one script: the Latin letters of European languages and Vietnamese, or Chinese
 * ones. Otherwise a Cyrillic о, or the letter ɡ of phonetics, could stand for a Latin one.
 */
const ALLOWED = /^(?:[0-9._%+@a-z\u00DF-\u017F\u01A1\u01B0\u1E00-\u1EFF-]+|[0-9._%+@\p{sc=Han}-]+)$/u;
const SPACE_OR_INVISIBLE = /[\p{Z}\p{C}]/u;

/** The form in which names are compared: equal for names that look alike. Empty if the name must be refused. */
export function normalized(name = '') {
  // By way of upper case, ß and SS become equal.
  const normal = `${name}`.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC');
  return ALLOWED.test(normal) && !SPACE_OR_INVISIBLE.test(name + normal) && normal.length <= 100 ? normal : '';
}
