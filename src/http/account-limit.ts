import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { BrokerError } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';

/** Counts a request of the account. @throws BrokerError `rate_limited` when it is one too many */
export type AccountLimit = (request: FastifyRequest, unionId: string) => Promise<void>;

const WINDOW_MS = 60_000;
/** Accounts counted at a time; whoever was quiet the longest is forgotten first. */
const MAX_ACCOUNTS = 100_000;
const ACCOUNT = Symbol('account');

/**
 * Limits what one account may ask of this replica, counted in memory: a replica more allows as many again.
 * @param perMinute 0: no limit
 */
export async function accountLimit(
  app: FastifyInstance,
  perMinute: number,
  observer: Pick<Observer, 'rateLimited'>,
): Promise<AccountLimit | undefined> {
  if (perMinute === 0) return undefined;
  app.decorateRequest(ACCOUNT, '');
  await app.register(rateLimit, {
    global: false,
    max: perMinute,
    timeWindow: WINDOW_MS,
    cache: MAX_ACCOUNTS,
    keyGenerator: (request) => request.getDecorator<string>(ACCOUNT),
  });
  const count = app.createRateLimit();
  const detail = `An account may ask ${perMinute} times a minute`;
  return async (request, unionId) => {
    request.setDecorator(ACCOUNT, unionId);
    const counted = await count(request);
    if (counted.isAllowed || !counted.isExceeded) return;
    observer.rateLimited('requests');
    throw new BrokerError('rate_limited', { detail, retryAfter: counted.ttlInSeconds });
  };
}
