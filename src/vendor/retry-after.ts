const LONGEST_SECONDS = 3600;

/**
 * Whole seconds a `Retry-After` (RFC 9110 §10.2.3) asks to wait, at most an hour; `undefined` where it says nothing.
 * @param now epoch ms against which a date is read
 */
export function readRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - now) / 1000);
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 0), LONGEST_SECONDS);
}
