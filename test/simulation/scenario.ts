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
  /** Probability that a message to or from the store, or an announcement, is lost. */
  readonly lossRate: number;
  readonly announcementLossRate: number;
  readonly perMinute: Readonly<Record<FaultName, number>>;
  readonly vendorMoods: readonly VendorMood[];
}

export type FaultName =
  | 'partition'
  | 'crash'
  | 'restart'
  | 'freeze'
  | 'storeOutage'
  | 'storeEmpty'
  | 'vendorTrouble'
  | 'logout'
  | 'erasure'
  | 'refusal'
  /** Two replicas are asked for the accessId of an account without a phone, or it is erased. */
  | 'sharing';

const NO_FAULTS: Scenario['perMinute'] = {
  partition: 0,
  crash: 0,
  restart: 0,
  freeze: 0,
  storeOutage: 0,
  storeEmpty: 0,
  vendorTrouble: 0,
  logout: 0,
  erasure: 0,
  refusal: 0,
  sharing: 0,
};

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
  lossRate: 0,
  announcementLossRate: 0,
  perMinute: NO_FAULTS,
  vendorMoods: ['http_error', 'garbage', 'silent', 'lost', 'maintenance', 'too_frequent', 'unknown_code'],
};

/** Mostly fast, sometimes slow, rarely close to the timeout. */
const longTail = (random: () => number): number => Math.min(4_900, 40 / (random() + 0.005) ** 0.9);

/** The worlds that `npm test` and `npm run simulate` go through. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  calm: CALM,
  // A worker may look 5 s after a read has made a token due. That is less than the last tenth of its life.
  'rare reads': { ...CALM, tokenLifeMs: 60_000, readEveryMs: 50_000, minutes: 8 },
  'slow vendor': { ...CALM, vendorLatencyMs: () => 1_800, vendorMode: 'replace' },
  'slow vendor, two replicas': { ...CALM, replicas: 2, vendorLatencyMs: (random) => 900 + random() * 1_500 },
  'logins longer than a lease': {
    ...CALM,
    vendorMode: 'replace',
    vendorTimeoutMs: 10_000,
    vendorLatencyMs: (random) => 5_500 + random() * 3_000,
    tokenLifeMs: 120_000,
    minutes: 4,
  },
  'long tail': { ...CALM, vendorLatencyMs: longTail, vendorMode: 'replace', tokenLifeMs: 60_000 },
  refusals: {
    ...CALM,
    vendorMode: 'replace',
    vendorLatencyMs: (random) => 50 + random() * 400,
    perMinute: { ...NO_FAULTS, refusal: 6 },
  },
  logouts: {
    ...CALM,
    vendorLatencyMs: (random) => 50 + random() * 900,
    perMinute: { ...NO_FAULTS, logout: 4, erasure: 1.5 },
  },
  'lost messages': { ...CALM, lossRate: 0.002, announcementLossRate: 0.05, vendorLatencyMs: longTail },
  'skewed clocks': {
    ...CALM,
    skewMs: 2_000,
    vendorOffsetMs: 90_000,
    vendorLatencyMs: (random) => 50 + random() * 300,
    perMinute: { ...NO_FAULTS, logout: 1, erasure: 0.4, partition: 1 },
  },
  'dying replicas': {
    ...CALM,
    replicas: 4,
    vendorLatencyMs: (random) => 50 + random() * 2_000,
    vendorMode: 'replace',
    perMinute: { ...NO_FAULTS, crash: 1, freeze: 1 },
  },
  'rolling updates': {
    ...CALM,
    // A replica whose clock is ahead renews at a read, before a worker claims the token.
    skewMs: 1_000,
    vendorMode: 'replace',
    vendorLatencyMs: (random) => 200 + random() * 2_000,
    perMinute: { ...NO_FAULTS, restart: 2 },
  },
  'store outages': {
    ...CALM,
    vendorLatencyMs: (random) => 50 + random() * 300,
    perMinute: { ...NO_FAULTS, storeOutage: 0.5, storeEmpty: 0.5, partition: 0.5 },
  },
  'vendor trouble': {
    ...CALM,
    tokenLifeMs: 60_000,
    vendorLatencyMs: (random) => 50 + random() * 200,
    perMinute: { ...NO_FAULTS, vendorTrouble: 0.8 },
  },
  sharing: {
    ...CALM,
    vendorMode: 'replace',
    vendorLatencyMs: (random) => 200 + random() * 2_500,
    perMinute: { ...NO_FAULTS, sharing: 40, crash: 0.3, freeze: 0.3, partition: 0.2, vendorTrouble: 0.2 },
  },
  everything: {
    ...CALM,
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
      refusal: 2,
      sharing: 0,
    },
  },
};
