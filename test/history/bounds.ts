import type { Bounds } from '../judge/recording.ts';

/** What real processes are given. Their clocks, timers and networks are no exact ones. */
export const REAL_BOUNDS: Bounds = {
  vendorMode: 'replace',
  vendorTimeoutMs: 5_000,
  loginsPerSecond: 50,
  loginsOfFailures: 20,
  vendorSettleMs: 20_000,
  clockErrorMs: 0,
  // The vendor tells its time, and the end of a token, in whole seconds.
  tokenErrorMs: 1_500,
  sessionStepMs: 1_000,
  sameTimeMs: 0,
  onItsWayMs: 1_000,
  messageMs: 0,
  lateWriteMs: 1_000,
  breakerMs: 500,
  healMs: 10_000,
  tokensHealMs: 10_000,
  losesAnnouncements: 'never',
  longestReadMs: 25_000,
  longestQuietReadMs: 5_000,
  answersArriveAtOnce: false,
};
