/** A value that is there at once, or comes later: what memory holds costs no promise of its own. */
export type Soon<T> = T | Promise<T>;
