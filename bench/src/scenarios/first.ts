import { BenchWorld, CACHES } from '../bench-world.ts';
import { allRounds, loadFigures, loadNotes, type Rounds, takeTurns, throughput } from '../load/rounds.ts';
import { OnceEach, writeRequests } from '../load/wrk.ts';
import type { Scenario } from '../scenario.ts';
import type { SessionAlgorithm } from '../sessions.ts';
import { newSubjects } from '../subjects.ts';

/** Until V8 has optimized most of the code. */
const WARM_UP_SECONDS = 3;
/**
 * Processes of each peer, one after the other. Two processes of the same program differ by up to 5 % for as long as they
 * run, because V8 optimizes them differently.
 */
const PROCESSES = 6;

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
          const roundsOfEach = Math.ceil(rounds / PROCESSES);
          const subjects = newSubjects((WARM_UP_SECONDS + roundsOfEach * seconds) * mostPerSecond);
          say(`  creating ${subjects.length} sessions and tokens …`);
          const list = await writeRequests(world.folder, world.sessions, subjects);
          for (const peer of CACHES) await world.fill(peer, subjects);
          const measured: Rounds<(typeof CACHES)[number]>[] = [];
          while (measured.length < PROCESSES) {
            const ofProcesses = world.withServers(CACHES, async (servers) => {
              const reads = new OnceEach(list, subjects.length);
              for (const peer of CACHES) await reads.load(servers[peer], WARM_UP_SECONDS);
              return takeTurns(CACHES, roundsOfEach, (peer) => reads.load(servers[peer], seconds), say);
            });
            measured.push(await ofProcesses);
          }
          const results = allRounds(CACHES, measured);
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
