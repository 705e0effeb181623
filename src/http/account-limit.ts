import { randomInt } from 'node:crypto';
import { BrokerError } from '../token/errors.ts';
import { type AccountId, NUMBER_LENGTH, numberIn } from '../token/subject.ts';

const WINDOW_MS = 60_000;

/**
 * The generic cell rate algorithm: `perMinute` requests at once after a pause, and then as many per minute, evenly
 * spread. Its only state is when the whole burst is available again.
 */
class Rate {
  readonly #intervalMs: number;
  readonly #detail: string;

  /** @param detail of the error */
  constructor(perMinute: number, detail: string) {
    this.#intervalMs = WINDOW_MS / perMinute;
    this.#detail = detail;
  }

  /**
   * Counts a request.
   * @param fullAt the state. It and `now` are in ms, by `performance.now()`
   * @returns the next state, or a `rate_limited` error if the request exceeds the limit
   */
  count(fullAt: number, now: number): number | BrokerError {
    const next = Math.max(now, fullAt) + this.#intervalMs;
    const waitMs = next - now - WINDOW_MS;
    // Less than 1 ms may be a rounding error of the sum of intervals.
    if (waitMs < 1) return next;
    return new BrokerError('rate_limited', { detail: this.#detail, retryAfter: Math.ceil(waitMs / 1_000) });
  }
}

/** Returns a function that counts a request. @returns a `rate_limited` error if the request exceeds the limit */
export function rateLimit(perMinute: number, detail: string): () => BrokerError | undefined {
  const rate = new Rate(perMinute, detail);
  let state = 0;
  return () => {
    const next = rate.count(state, performance.now());
    if (next instanceof BrokerError) return next;
    state = next;
    return undefined;
  };
}

/** Counts a request of an account. @returns a `rate_limited` error if the request exceeds the limit */
export type AccountLimit = (account: AccountId) => BrokerError | undefined;

/** Rows of the table. An account has its place in one of them. */
const ROWS = 32_768;
const PLACES = 4;

/**
 * Limits the requests of each account to this replica. The counts are in memory, so every replica allows as many.
 *
 * A table of 3 MiB has places for 131,072 accounts. If a row is full, an account takes the place of the one whose burst is
 * available soonest. That one has sent the fewest recent requests of the four, and its limit starts again. A Map would
 * take 400 bytes per account, and 2 % of the CPU of a first read.
 * @param perMinute requests per account and minute; 0: no limit
 */
export function accountLimit(perMinute: number): AccountLimit {
  if (perMinute === 0) return () => undefined;
  const rate = new Rate(perMinute, `An account may send ${perMinute} requests per minute`);
  // Keeps the rows unknown, so that accounts with chosen names cannot share one and displace each other.
  const secret = randomInt(2 ** 31, 2 ** 32);
  const [marks, otherMarks, states] = [newColumn(), newColumn(), newColumn()];
  return (account) => {
    const [mark, otherMark] = [numberIn(account), numberIn(account, NUMBER_LENGTH)];
    const row = ((mark % secret) % ROWS) * PLACES;
    let place = row;
    let isKnown = false;
    for (let at = row; at < row + PLACES && !isKnown; at += 1) {
      isKnown = marks[at] === mark && otherMarks[at] === otherMark;
      if (isKnown || (states[at] ?? 0) < (states[place] ?? 0)) place = at;
    }
    const next = rate.count(isKnown ? (states[place] ?? 0) : 0, performance.now());
    if (next instanceof BrokerError) return next;
    marks[place] = mark;
    otherMarks[place] = otherMark;
    states[place] = next;
    return undefined;
  };
}

function newColumn(): Float64Array {
  return new Float64Array(ROWS * PLACES);
}
