/** A value that is there at once, or comes later: what memory holds costs no promise. */
export type Soon<T> = T | Promise<T>;

/** Goes on with the value, at once where it is there. */
export function whenThere<T, U>(value: Soon<T>, next: (value: T) => Soon<U>): Soon<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
