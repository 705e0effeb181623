import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';

/** Counts a request of the account. @throws BrokerError `rate_limited` when it is one too many */
export type AccountLimit = (unionId: string) => void;

export interface AccountLimitOptions {
  /** 0: no limit. */
  readonly perMinute: number;
  readonly clock: Pick<Clock, 'now'>;
  readonly observer: Pick<Observer, 'rateLimited'>;
}

interface Window {
  /** Epoch ms. */
  readonly endsAt: number;
  requests: number;
}

const WINDOW_MS = 60_000;
/** Accounts counted at a time; whoever was quiet the longest is forgotten first. */
const MAX_ACCOUNTS = 100_000;

/**
 * Limits what one account may ask of this replica, counted in memory: a replica more allows as many again. An account's
 * window begins with the first request after the last one has ended.
 */
export function accountLimit({ perMinute, clock, observer }: AccountLimitOptions): AccountLimit {
  if (perMinute === 0) return () => undefined;
  const windows = new LRUCache<string, Window>({ max: MAX_ACCOUNTS });
  const detail = `An account may ask ${perMinute} times a minute`;
  return (unionId) => {
    const now = clock.now();
    let window = windows.get(unionId);
    if (window === undefined || now >= window.endsAt) {
      window = { endsAt: now + WINDOW_MS, requests: 0 };
      windows.set(unionId, window);
    }
    window.requests += 1;
    if (window.requests <= perMinute) return;
    observer.rateLimited('requests');
    throw new BrokerError('rate_limited', { detail, retryAfter: (window.endsAt - now) / 1_000 });
  };
}
