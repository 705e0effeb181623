import { BrokenAnswer } from './fault.ts';

const LONGEST_LIFETIME = 10 ** 9;
const LATEST_IN_SECONDS = 10 ** 11;
const FURTHEST_AHEAD_MS = 400 * 86_400_000;

/**
 * The instant an `expireTime` means, in epoch ms on the vendor's clock (protocol.md, "Response"): a lifetime in seconds
 * below 10^9, epoch seconds up to 10^11, epoch ms above.
 * @param text the digits as the vendor sent them, quoted or not
 * @param sentAt when the login was sent, epoch ms on the vendor's clock
 * @throws BrokenAnswer not a whole number, not in the future, or further than 400 days ahead
 */
export function readExpireTime(text: string, sentAt: number): number {
  if (!/^\d+$/.test(text)) throw new BrokenAnswer('data.expireTime is not a whole number');
  const value = Number(text);
  const instant = toInstant(value, sentAt);
  if (instant <= sentAt) throw new BrokenAnswer('data.expireTime is not in the future');
  if (instant > sentAt + FURTHEST_AHEAD_MS) throw new BrokenAnswer('data.expireTime is more than 400 days ahead');
  return instant;
}

function toInstant(value: number, sentAt: number): number {
  if (value < LONGEST_LIFETIME) return sentAt + value * 1000;
  return value > LATEST_IN_SECONDS ? value : value * 1000;
}
