import type { Chance } from '../support/chance.ts';
import type { RedisData, RedisTopology } from './redis-under-test.ts';

/** One fault, as planned. `forMs` is how long its cause lasts. */
export type PlannedFault =
  | { readonly kind: 'kill' | 'terminate' | 'freeze'; readonly replica: number; readonly forMs: number }
  | { readonly kind: 'clock'; readonly replica: number; readonly offsetMs: number; readonly forMs: number }
  | {
      readonly kind: 'link';
      readonly replica: number;
      readonly how: 'cut' | 'stall' | 'lossy' | 'delay';
      readonly forMs: number;
    }
  | { readonly kind: 'redis-stall'; readonly how: 'pause' | 'sleep' | 'frozen'; readonly forMs: number }
  | { readonly kind: 'redis-connections'; readonly of: 'normal' | 'pubsub'; readonly forMs: number }
  | {
      readonly kind: 'redis-crash';
      readonly data: RedisData;
      /** How old the old data are. */
      readonly ageMs: number;
      readonly forMs: number;
    }
  | { readonly kind: 'failover'; readonly how: 'planned' | 'killed' | 'frozen'; readonly forMs: number }
  | {
      readonly kind: 'cluster-master';
      readonly number: number;
      readonly how: 'killed' | 'frozen';
      readonly forMs: number;
    }
  | {
      readonly kind: 'vendor';
      readonly how: 'slow' | 'failing' | 'losing' | 'too-frequent';
      readonly forMs: number;
    };

const EPISODES = [
  'logout during a login without a lease',
  'two logins without a lease after a logout',
  'report while Redis stalls',
  'erasure whose answer is lost',
  'clock set back before a logout elsewhere',
  'old data after renewals and logouts',
  'erasures during a planned failover',
] as const;
export type EpisodeName = (typeof EPISODES)[number];

type PlannedEvent = { readonly atMs: number } & ({ readonly fault: PlannedFault } | { readonly episode: EpisodeName });

/** The plan of a run: which fault begins when, and which episodes of scripted users there are. */
export interface Plan {
  readonly events: readonly PlannedEvent[];
}

/** Before the first fault, every user gets a token. */
const WARM_UP_MS = 3_000;
/** What an episode takes, with the time in which its users only look. */
const EPISODE_MS = 23_000;
const STORM_MS = 22_000;
/** Without faults, so that the strict rules for quiet times apply. */
const CALM_MS = 24_000;
const MEAN_PAUSE_MS = 2_500;
const STORM_SHARE = 0.45;

type FaultName = PlannedFault['kind'];

const REPLICA_FAULTS = { kill: 2, terminate: 2, freeze: 2, clock: 2, vendor: 3 };
const REDIS_FAULTS: Readonly<Record<RedisTopology, Readonly<Partial<Record<FaultName, number>>>>> = {
  single: { link: 4, 'redis-stall': 3, 'redis-connections': 1, 'redis-crash': 2 },
  sentinel: { 'redis-stall': 2, 'redis-connections': 2, failover: 4 },
  cluster: { 'redis-stall': 2, 'redis-connections': 2, 'cluster-master': 4 },
};

const EPISODE_WEIGHTS: Readonly<Record<RedisTopology, Readonly<Partial<Record<EpisodeName, number>>>>> = {
  single: {
    'logout during a login without a lease': 3,
    'two logins without a lease after a logout': 3,
    'report while Redis stalls': 2,
    'erasure whose answer is lost': 2,
    'clock set back before a logout elsewhere': 2,
    'old data after renewals and logouts': 3,
  },
  sentinel: { 'logout during a login without a lease': 1, 'erasures during a planned failover': 3 },
  cluster: { 'logout during a login without a lease': 1, 'two logins without a lease after a logout': 1 },
};

/** Decides by chance what happens in a run. Episodes have time for themselves; storms are random faults, then calm. */
export function planRun(chance: Chance, topology: RedisTopology, durationMs: number): Plan {
  const events: PlannedEvent[] = [];
  for (let atMs = WARM_UP_MS; atMs < durationMs; ) {
    const leftMs = durationMs - atMs;
    if (leftMs < EPISODE_MS / 2) break;
    if (chance.happens(STORM_SHARE)) {
      const stormMs = Math.min(STORM_MS, leftMs - 2_000);
      for (let inStormMs = 0; inStormMs < stormMs; inStormMs += 300 + chance.exponential(MEAN_PAUSE_MS)) {
        events.push({ atMs: atMs + inStormMs, fault: planFault(chance, topology) });
      }
      atMs += stormMs + CALM_MS;
    } else {
      events.push({ atMs, episode: chance.weighted(EPISODE_WEIGHTS[topology]) });
      atMs += EPISODE_MS;
    }
  }
  return { events };
}

function planFault(chance: Chance, topology: RedisTopology): PlannedFault {
  const kind = chance.weighted<FaultName>({ ...REPLICA_FAULTS, ...REDIS_FAULTS[topology] });
  const replica = chance.whole(0, 2);
  const shortMs = Math.round(chance.between(200, 1_500));
  const longMs = Math.round(chance.between(500, 7_000));
  switch (kind) {
    case 'kill':
    case 'terminate':
    case 'freeze':
      return { kind, replica, forMs: longMs };
    case 'clock':
      return { kind, replica, offsetMs: chance.pick([-1, 1]) * chance.whole(1, 10) * 1_000, forMs: longMs };
    case 'link':
      return {
        kind,
        replica,
        how: chance.pick(['cut', 'stall', 'lossy', 'delay']),
        forMs: chance.pick([shortMs, longMs]),
      };
    case 'redis-stall':
      return { kind, how: topology === 'single' ? chance.pick(['pause', 'sleep', 'frozen']) : 'pause', forMs: shortMs };
    case 'redis-connections':
      return { kind, of: chance.pick(['normal', 'pubsub']), forMs: 200 };
    case 'redis-crash':
      return { kind, data: chance.pick(['all', 'old', 'none']), ageMs: longMs, forMs: shortMs };
    case 'failover':
      return { kind, how: chance.pick(['planned', 'planned', 'killed', 'frozen']), forMs: longMs };
    case 'cluster-master':
      return { kind, number: replica, how: chance.pick(['killed', 'frozen']), forMs: longMs };
    case 'vendor':
      return { kind, how: chance.pick(['slow', 'failing', 'losing', 'too-frequent']), forMs: longMs };
  }
}
