import type { Chance } from '../support/chance.ts';
import { type PlannedFault, planFault } from './faults.ts';
import type { RedisTopology } from './redis-under-test.ts';

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
