/**
 * Whether an `If-None-Match` names the current representation: `*`, or a list with its tag, compared weakly
 * (RFC 9110 §13.1.2).
 * @param etag a strong tag without a comma in it, so that a list may be cut at its commas
 */
export function noneMatchNames(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true;
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}
