/** A name has letters of one of these scripts only. Otherwise a Cyrillic о could stand for a Latin o. */
const ONE_SCRIPT = /^(?:[\p{sc=Latin}\p{sc=Common}]+|[\p{sc=Han}\p{sc=Common}]+)$/u;
const SPACE_OR_INVISIBLE = /[\p{Z}\p{C}]/u;

/** The form in which names are compared: equal for names that look alike. Empty if the name must be refused. */
export function normalized(name = '') {
  // By way of upper case, ß and SS become equal.
  const normal = `${name}`.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC');
  return ONE_SCRIPT.test(normal) && !SPACE_OR_INVISIBLE.test(name + normal) && normal.length <= 100 ? normal : '';
}
