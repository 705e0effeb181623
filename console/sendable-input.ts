/** Whether a header can carry the token. */
export function isSendable(token: string): boolean {
  return /^[\x21-\x7e]+$/.test(token);
}

/** Whether a browser sends this id in a path unchanged: it removes dot segments, also encoded ones. */
export function isSendableInPath(id: string): boolean {
  return id !== '.' && id !== '..' && id.isWellFormed();
}
