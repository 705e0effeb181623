import type { Observer } from '../../src/token/observer.ts';

const ignore = (): void => undefined;

/** Ignores every event. */
export const silentObserver: Observer = {
  tokenServed: ignore,
  readFailed: ignore,
  renewalEnded: ignore,
  renewalFailed: ignore,
  wroteBack: ignore,
  rateLimited: ignore,
  renewalClaimed: ignore,
  backlogSeen: ignore,
  overdueSeen: ignore,
  endedUnrenewed: ignore,
  loginSent: ignore,
  loginEnded: ignore,
  accountClosed: ignore,
  budgetWaited: ignore,
  budgetDenied: ignore,
  sessionChecked: ignore,
  redisAsked: ignore,
  redisFailed: ignore,
  storeLostData: ignore,
  adminRefused: ignore,
  secretsReloaded: ignore,
};
