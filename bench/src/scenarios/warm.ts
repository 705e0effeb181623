import { medianRatio } from '../../../test/support/statistics.ts';
import { BenchWorld, PEERS, type PeerName } from '../bench-world.ts';
import { compare } from '../figures.ts';
import { loadFigures, loadNotes, takeTurns, throughput } from '../load/rounds.ts';
import { load, writeRequests } from '../load/wrk.ts';
import type { Scenario } from '../scenario.ts';
import { type BenchSubject, newSubjects } from '../subjects.ts';

export const SESSIONS = 500;
/** Until V8 has optimized the code. */
const WARM_UP_SECONDS = 5;

/** Throughput relative to each peer, and p99 relative to bare. */
export interface WarmBounds {
  readonly bare: number;
  readonly dedupe: number;
  readonly naive: number;
  readonly p99: number;
}

/**
 * 500 sessions read again and again. Their tokens are in memory. Each round starts new processes: two processes of the
 * same peer differ by up to a quarter of CPU time per request for as long as they run.
 */
export function warmReads(name: string, newAccounts: () => readonly BenchSubject[], bounds: WarmBounds): Scenario {
  return {
    name,
    run: ({ rounds, seconds, say }) =>
      BenchWorld.with(0, async (world) => {
        const subjects = newAccounts();
        const list = { ...(await writeRequests(world.folder, world.sessions, subjects)), first: 1, last: SESSIONS };
        for (const peer of PEERS) await world.fill(peer, subjects);
        const turn = (peer: PeerName) =>
          world.withServers([peer], async (servers) => {
            await load(servers[peer], { ...list, repeat: true, seconds: WARM_UP_SECONDS });
            return load(servers[peer], { ...list, repeat: true, seconds });
          });
        const results = await takeTurns(PEERS, rounds, turn, say);
        const p99s = (peer: 'broker' | 'bare') => results[peer].map(({ p99Ms }) => p99Ms);
        const p99 = medianRatio(p99s('broker'), p99s('bare'));
        return {
          figures: loadFigures(results),
          notes: loadNotes(results),
          comparisons: [
            throughput('requests per second, relative to bare', results, ['broker', 'bare'], bounds.bare),
            throughput('relative to async-cache-dedupe', results, ['broker', 'async-cache-dedupe'], bounds.dedupe),
            throughput('relative to naive', results, ['broker', 'naive'], bounds.naive),
            compare({ claim: 'p99, relative to bare', value: p99, is: 'atMost', bound: bounds.p99, unit: '×' }),
          ],
        };
      }),
  };
}

export const WARM_BOUNDS = { bare: 0.8, dedupe: 2, naive: 6, p99: 1.3 };

export const scenario = warmReads('warm', () => newSubjects(SESSIONS), WARM_BOUNDS);
