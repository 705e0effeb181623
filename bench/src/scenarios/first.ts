import { BenchWorld, CACHES } from '../bench-world.ts';
import { loadFigures, loadNotes, takeTurns, throughput } from '../load/rounds.ts';
import { OnceEach, writeRequests } from '../load/wrk.ts';
import type { Scenario } from '../scenario.ts';
import type { SessionAlgorithm } from '../sessions.ts';
import { newSubjects } from '../subjects.ts';

/** Until V8 has optimized most of the code. */
const WARM_UP_SECONDS = 3;

/**
 * Each request has a new session, and its token is only in Redis.
 * @param mostPerSecond more than any peer answers on average. If the list is too short, the run is invalid
 */
export function firstReads(name: string, algorithm: SessionAlgorithm, mostPerSecond: number): Scenario {
  return {
    name,
    run: ({ rounds, seconds, say }) =>
      BenchWorld.with(
        0,
        async (world) => {
          const subjects = newSubjects((WARM_UP_SECONDS + rounds * seconds) * mostPerSecond);
          say(`  creating ${subjects.length} sessions and tokens …`);
          const list = await writeRequests(world.folder, world.sessions, subjects);
          for (const peer of CACHES) await world.fill(peer, subjects);
          const results = await world.withServers(CACHES, async (servers) => {
            const reads = new OnceEach(list, subjects.length);
            for (const peer of CACHES) await reads.load(servers[peer], WARM_UP_SECONDS);
            return takeTurns(CACHES, rounds, (peer) => reads.load(servers[peer], seconds), say);
          });
          return {
            figures: loadFigures(results),
            notes: loadNotes(results),
            comparisons: [
              throughput('requests per second, relative to naive', results, ['broker', 'naive'], 1.05),
              throughput('relative to async-cache-dedupe', results, ['broker', 'async-cache-dedupe'], 1.2),
            ],
          };
        },
        algorithm,
      ),
  };
}

export const scenario = firstReads('first', 'ES256', 18_000);
