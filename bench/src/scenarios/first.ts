import { BenchWorld, CACHES, type PeerName } from '../bench-world.ts';
import { loadFigures, loadNotes, takeTurns, throughput } from '../load/rounds.ts';
import { type LoadResult, load, type RequestList, writeRequests } from '../load/wrk.ts';
import { SERVER_CORE } from '../processes/cores.ts';
import type { Scenario } from '../scenario.ts';
import type { SessionAlgorithm } from '../sessions.ts';
import { newSubjects } from '../subjects.ts';

/** Until V8 has optimized the code. After 2 s it still takes 2 % of the CPU for that. */
const WARM_UP_SECONDS = 5;
/** A round is this many times as long as in other scenarios. A shorter one may hold a full garbage collection of one peer only. */
const LONGER = 4;
/** More than any peer answers per second. If the list is too short, the run is invalid. */
const MOST_PER_SECOND = 20_000;

/** Each request has a new session, and its token is only in Redis. */
export function firstReads(name: string, algorithm: SessionAlgorithm): Scenario {
  return {
    name,
    run: ({ rounds, seconds: ofRound, say }) =>
      BenchWorld.with(
        0,
        async (world) => {
          const seconds = LONGER * ofRound;
          const subjects = newSubjects((WARM_UP_SECONDS + seconds) * MOST_PER_SECOND);
          say(`  creating ${subjects.length} sessions and tokens …`);
          const list = await writeRequests(world.folder, world.sessions, subjects);
          for (const peer of CACHES) await world.fill(peer, subjects);
          const results = await takeTurns(CACHES, rounds, (peer) => firstTurn(world, peer, list, seconds), say);
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

export const scenario = firstReads('first', 'ES256');

/** Starts a new process, so that it has seen none of the sessions. */
async function firstTurn(world: BenchWorld, peer: PeerName, list: RequestList, seconds: number): Promise<LoadResult> {
  const server = await world.start(peer, SERVER_CORE);
  try {
    const warmUp = WARM_UP_SECONDS * MOST_PER_SECOND;
    await load(server, { ...list, first: 1, last: warmUp, repeat: false, seconds: WARM_UP_SECONDS });
    const last = warmUp + seconds * MOST_PER_SECOND;
    return await load(server, { ...list, first: warmUp + 1, last, repeat: false, seconds });
  } finally {
    await server.stop();
  }
}
