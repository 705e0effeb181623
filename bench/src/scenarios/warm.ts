import { medianRatio } from '../../../test/support/statistics.ts';
import { BenchWorld, PEERS, type PeerName } from '../bench-world.ts';
import { compare } from '../figures.ts';
import { loadFigures, loadNotes, takeTurns, throughput } from '../load/rounds.ts';
import { load, writeRequests } from '../load/wrk.ts';
import type { Scenario } from '../scenario.ts';
import { newSubjects } from '../subjects.ts';

const SESSIONS = 500;
const WARM_UP_SECONDS = 2;

/**
 * 500 sessions read again and again. Their tokens are in memory. Each round starts new processes: two processes of the
 * same peer differ by up to a quarter of CPU time per request for as long as they run.
 */
export const scenario: Scenario = {
  name: 'warm',
  run: ({ rounds, seconds, say }) =>
    BenchWorld.with(0, async (world) => {
      const subjects = newSubjects(SESSIONS);
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
          throughput('requests per second, relative to bare', results, ['broker', 'bare'], 0.9),
          throughput('relative to async-cache-dedupe', results, ['broker', 'async-cache-dedupe'], 2),
          throughput('relative to naive', results, ['broker', 'naive'], 6),
          compare({ claim: 'p99, relative to bare', value: p99, is: 'atMost', bound: 1.3, unit: '×' }),
        ],
      };
    }),
};
