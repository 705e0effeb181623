import { loginBudget } from '../../src/token/login-queue.ts';
import { LEASE_MS } from '../../src/token/renewal-timing.ts';
import type { Bounds } from '../judge/recording.ts';
import type { VendorMood } from './vendor-model.ts';

/** A world for one run of the simulation. Rates are events per minute. */
export interface Scenario {
  readonly replicas: number;
  readonly subjects: number;
  readonly minutes: number;
  readonly tokenLifeMs: number;
  readonly vendorMode: 'overlap' | 'replace';
  readonly vendorLatencyMs: (random: () => number) => number;
  readonly vendorOffsetMs: number;
  readonly vendorTimeoutMs: number;
  readonly maxLoginsPerSecond: number;
  /** Mean time between two reads of a subject. */
  readonly readEveryMs: number;
  /** Largest difference of a replica's clock from the true time. */
  readonly skewMs: number;
  /** How far the clock of the customer cloud is ahead. */
  readonly cloudAheadMs: number;
  /** Shortest and longest one-way delay between a replica and the store. */
  readonly storeDelayMs: readonly [number, number];
  /** Probability that a message to or from the store, or an announcement, is lost. */
  readonly lossRate: number;
  readonly announcementLossRate: number;
  readonly perMinute: Readonly<Partial<Record<FaultName, number>>>;
  readonly vendorMoods: readonly VendorMood[];
}

/** Largest difference of a replica's clock from the true time after a jump. */
export const LARGEST_JUMP_MS = 3_000;

export const FAULT_NAMES = [
  'partition',
  /** A replica is cut off from the store for less than a second. */
  'shortPartition',
  'crash',
  'restart',
  'freeze',
  /** A replica's event loop stands still for at most 2 s. No other fault: nobody but the replica is late. */
  'stall',
  /** The wall clock of a replica jumps. */
  'clockJump',
  'storeOutage',
  'storeEmpty',
  /** The store starts anew with the data of some seconds ago. */
  'storeRestore',
  /** The same, just after a logout or an erasure that it forgets. The phones of the account stay silent. */
  'restoreAfterLogout',
  /** The store answers nothing for at most 1.5 s, and then executes what has arrived. */
  'storeStall',
  'vendorTrouble',
  'logout',
  'erasure',
  /** The customer cloud ends all sessions of an account, and logs it out. */
  'accountLogout',
  /** The customer cloud ends the session of a phone, and logs the phone out. */
  'kickOut',
  /** The same, while a replica that has just accepted the session is cut off from the store for a moment. */
  'kickOutUnheard',
  'refusal',
  /** The store stalls for 0.5 s while an app reports a refused token whose renewal is due. */
  'refusalInStall',
  /** A logout, then two logins of the terminal on two replicas while the store stalls. */
  'loginsInStall',
  /** The same, and soon afterwards a logout or an erasure. */
  'logoutAfterStall',
  /** The clock of a replica is set back, and it misses a logout while it is cut off for a moment. */
  'logoutAfterJump',
  /** An operator repeats an erasure that has failed, and the user comes back. */
  'repeatedErasure',
  /** Two replicas are asked for the accessId of an account without a phone, or it is erased. */
  'sharing',
] as const;
export type FaultName = (typeof FAULT_NAMES)[number];

/** A vendor with a clock of its own tells its time in whole seconds. */
const DATE_HEADER_MS = 1_000;
/** Times in whole ms. */
const ROUNDING_MS = 2;
/** Time for the events between two messages. */
const TURN_MS = 20;

/** What the judge allows in a world: virtual time is exact. */
export function boundsOf(scenario: Scenario): Bounds {
  const { vendorTimeoutMs, skewMs, perMinute, lossRate, announcementLossRate } = scenario;
  const clockErrorMs = 2 * (skewMs + (perMinute.clockJump ? LARGEST_JUMP_MS : 0));
  const messageMs = 2 * scenario.storeDelayMs[1] + TURN_MS;
  // A read tries to take the lease for two login budgets and a lease, and then logs in.
  const longestReadMs = 3 * loginBudget(vendorTimeoutMs) + LEASE_MS + 1_000;
  return {
    vendorMode: scenario.vendorMode,
    vendorTimeoutMs,
    loginsPerSecond: scenario.maxLoginsPerSecond,
    // While the store is down too, each replica asks a vendor that fails at once.
    loginsOfFailures: 20 * scenario.replicas,
    vendorSettleMs: 40_000,
    clockErrorMs,
    tokenErrorMs: clockErrorMs + (scenario.vendorOffsetMs > 0 ? DATE_HEADER_MS : ROUNDING_MS),
    sessionStepMs: 0,
    sameTimeMs: 1_000 + clockErrorMs,
    onItsWayMs: messageMs,
    messageMs,
    lateWriteMs: messageMs,
    breakerMs: 0,
    healMs: 5_000,
    tokensHealMs: 20_000,
    losesAnnouncements: lossRate > 0 || announcementLossRate > 0 ? 'always' : 'never',
    longestReadMs,
    longestQuietReadMs: longestReadMs,
    answersArriveAtOnce: true,
  };
}

const CALM: Scenario = {
  replicas: 3,
  subjects: 6,
  minutes: 3,
  tokenLifeMs: 24_000,
  vendorMode: 'overlap',
  vendorLatencyMs: () => 60,
  vendorOffsetMs: 0,
  vendorTimeoutMs: 5_000,
  maxLoginsPerSecond: 50,
  readEveryMs: 700,
  skewMs: 0,
  cloudAheadMs: 0,
  storeDelayMs: [0.2, 1.7],
  lossRate: 0,
  announcementLossRate: 0,
  perMinute: {},
  vendorMoods: ['http_error', 'garbage', 'silent', 'lost', 'maintenance', 'too_frequent', 'unknown_code'],
};

/** Mostly fast, sometimes slow, rarely close to the timeout. */
const longTail = (random: () => number): number => Math.min(4_900, 40 / (random() + 0.005) ** 0.9);

/** What each world has instead of what is {@link CALM}. */
const DIFFERENCES: Readonly<Record<string, Partial<Scenario>>> = {
  calm: {},
  // A worker may look 5 s after a read has made a token due. That is less than the last tenth of its life.
  'rare reads': { tokenLifeMs: 60_000, readEveryMs: 50_000, minutes: 8 },
  'slow vendor': { vendorLatencyMs: () => 1_800, vendorMode: 'replace' },
  'slow vendor, two replicas': { replicas: 2, vendorLatencyMs: (random) => 900 + random() * 1_500 },
  'logins longer than a lease': {
    vendorMode: 'replace',
    vendorTimeoutMs: 10_000,
    vendorLatencyMs: (random) => 5_500 + random() * 3_000,
    tokenLifeMs: 120_000,
    minutes: 4,
  },
  'long tail': { vendorLatencyMs: longTail, vendorMode: 'replace', tokenLifeMs: 60_000 },
  refusals: {
    vendorMode: 'replace',
    vendorLatencyMs: (random) => 50 + random() * 400,
    perMinute: { refusal: 6 },
  },
  logouts: {
    vendorLatencyMs: (random) => 50 + random() * 900,
    perMinute: { logout: 4, erasure: 1.5, accountLogout: 1.5 },
  },
  'lost messages': { lossRate: 0.002, announcementLossRate: 0.05, vendorLatencyMs: longTail },
  'skewed clocks': {
    skewMs: 2_000,
    vendorOffsetMs: 90_000,
    vendorLatencyMs: (random) => 50 + random() * 300,
    perMinute: { logout: 1, erasure: 0.4, partition: 1 },
  },
  'dying replicas': {
    replicas: 4,
    vendorLatencyMs: (random) => 50 + random() * 2_000,
    vendorMode: 'replace',
    perMinute: { crash: 1, freeze: 1 },
  },
  'rolling updates': {
    // A replica whose clock is ahead renews at a read, before a worker claims the token.
    skewMs: 1_000,
    vendorMode: 'replace',
    vendorLatencyMs: (random) => 200 + random() * 2_000,
    perMinute: { restart: 2 },
  },
  'store outages': {
    vendorLatencyMs: (random) => 50 + random() * 300,
    perMinute: { storeOutage: 0.5, storeEmpty: 0.5, partition: 0.5, vendorTrouble: 1.5 },
  },
  'vendor trouble': {
    tokenLifeMs: 60_000,
    vendorLatencyMs: (random) => 50 + random() * 200,
    perMinute: { vendorTrouble: 0.8 },
  },
  sharing: {
    vendorMode: 'replace',
    vendorLatencyMs: (random) => 200 + random() * 2_500,
    perMinute: { sharing: 40, crash: 0.3, freeze: 0.3, partition: 0.2, vendorTrouble: 0.2 },
  },
  // A token that another login has ended is then served for long, if nothing ends that.
  'logouts after stalls': {
    vendorMode: 'replace',
    tokenLifeMs: 120_000,
    vendorLatencyMs: (random) => 1_000 + random() * 3_000,
    perMinute: { logoutAfterStall: 4, logout: 2, erasure: 0.5, storeStall: 1 },
  },
  'logins in stalls': {
    vendorMode: 'replace',
    tokenLifeMs: 120_000,
    vendorLatencyMs: (random) => 200 + random() * 1_500,
    perMinute: { loginsInStall: 1.2 },
  },
  'refusals in stalls': {
    vendorMode: 'replace',
    tokenLifeMs: 40_000,
    vendorLatencyMs: (random) => 200 + random() * 800,
    perMinute: { refusalInStall: 4 },
  },
  'starts beside stalls': {
    vendorMode: 'replace',
    tokenLifeMs: 120_000,
    vendorLatencyMs: (random) => 50 + random() * 400,
    perMinute: { restart: 4, storeStall: 6, refusal: 20 },
  },
  'slow store': {
    vendorMode: 'replace',
    vendorLatencyMs: (random) => 100 + random() * 900,
    storeDelayMs: [2.5, 88],
    perMinute: { logout: 3, erasure: 1, refusal: 3, restart: 0.3 },
  },
  // Sessions of the last seconds say that they were issued after the logout. Only the cloud refuses them.
  'kick-outs': {
    vendorMode: 'replace',
    cloudAheadMs: 3_000,
    vendorLatencyMs: (random) => 50 + random() * 900,
    perMinute: { accountLogout: 5, kickOut: 4, kickOutUnheard: 2, erasure: 0.5, sharing: 2, partition: 0.5 },
  },
  'store from a snapshot': {
    vendorMode: 'replace',
    tokenLifeMs: 90_000,
    vendorLatencyMs: (random) => 50 + random() * 400,
    perMinute: {
      storeRestore: 0.7,
      restoreAfterLogout: 0.7,
      logout: 2,
      erasure: 0.5,
      accountLogout: 0.5,
      refusal: 4,
    },
  },
  'restarts beside vendor trouble': {
    tokenLifeMs: 60_000,
    vendorMode: 'replace',
    vendorLatencyMs: (random) => 50 + random() * 1_500,
    perMinute: { vendorTrouble: 0.8, restart: 0.8, crash: 0.3, refusal: 2 },
  },
  // The answers of the store are often under way when the event loop of a replica stalls.
  'stalls of a replica': {
    subjects: 20,
    vendorMode: 'replace',
    tokenLifeMs: 120_000,
    storeDelayMs: [10, 60],
    vendorLatencyMs: (random) => 100 + random() * 900,
    perMinute: { stall: 12, restart: 4, refusal: 10, logout: 2 },
  },
  'clock jumps': {
    tokenLifeMs: 120_000,
    vendorLatencyMs: (random) => 50 + random() * 900,
    perMinute: { clockJump: 1, logoutAfterJump: 2, shortPartition: 0.5, logout: 2, erasure: 0.5 },
  },
  'repeated erasures': {
    vendorLatencyMs: (random) => 50 + random() * 900,
    perMinute: { repeatedErasure: 3, logout: 1 },
  },
  everything: {
    replicas: 4,
    vendorMode: 'replace',
    vendorLatencyMs: longTail,
    skewMs: 500,
    lossRate: 0.001,
    announcementLossRate: 0.01,
    perMinute: {
      partition: 0.5,
      crash: 0.4,
      restart: 0.3,
      freeze: 0.4,
      storeOutage: 0.2,
      storeEmpty: 0.2,
      vendorTrouble: 0.3,
      logout: 1,
      erasure: 0.4,
      accountLogout: 0.4,
      kickOut: 0.4,
      refusal: 2,
      stall: 0.3,
      storeStall: 0.3,
      storeRestore: 0.15,
      logoutAfterStall: 0.3,
    },
  },
};

/** The worlds that `npm test`, `npm run test:all` and `npm run simulate` go through. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = Object.fromEntries(
  Object.entries(DIFFERENCES).map(([name, differences]) => [name, { ...CALM, ...differences }]),
);
