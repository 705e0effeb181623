import { BenchWorld, CACHES, type PeerName } from '../bench-world.ts';
import { loadFigures, loadNotes, takeTurns, throughput } from '../load/rounds.ts';
import { type LoadResult, load, type RequestList, writeRequests } from '../load/wrk.ts';
import { BOTH_CORES, SERVER_CORE } from '../processes/cores.ts';
import type { Scenario } from '../scenario.ts';
import { newSubjects } from '../subjects.ts';

/** Until V8 has optimized the code. */
const WARM_UP_SECONDS = 3;
/** More than any peer answers per second. If the list is too short, the run is invalid. */
const MOST_PER_SECOND = 24_000;
const TWO_CORES = 'broker on two cores';

/** Each request has a new session, and its token is only in Redis. */
export const scenario: Scenario = {
  name: 'cold',
  run: ({ rounds, seconds, say }) =>
    BenchWorld.with(0, async (world) => {
      const subjects = newSubjects((WARM_UP_SECONDS + seconds) * MOST_PER_SECOND);
      say(`  creating ${subjects.length} sessions and tokens …`);
      const list = await writeRequests(world.folder, world.sessions, subjects);
      for (const peer of CACHES) await world.fill(peer, subjects);

      const turn = (name: (typeof TURNS)[number]) => {
        const [peer, cores] = name === TWO_CORES ? (['broker', BOTH_CORES] as const) : ([name, SERVER_CORE] as const);
        return coldTurn(world, peer, cores, list, seconds);
      };
      const results = await takeTurns(TURNS, rounds, turn, say);
      return {
        figures: loadFigures(results),
        notes: loadNotes(results),
        comparisons: [
          throughput('requests per second on one core, relative to naive', results, ['broker', 'naive'], 1.25),
          throughput('relative to async-cache-dedupe', results, ['broker', 'async-cache-dedupe'], 1.5),
          throughput('on two cores, relative to one core', results, [TWO_CORES, 'broker'], 1.6),
        ],
      };
    }),
};

const TURNS = [...CACHES, TWO_CORES] as const;

/** Starts a new process, so that it has seen none of the sessions. */
async function coldTurn(
  world: BenchWorld,
  peer: PeerName,
  cores: string,
  list: RequestList,
  seconds: number,
): Promise<LoadResult> {
  const server = await world.start(peer, cores);
  try {
    const warmUp = WARM_UP_SECONDS * MOST_PER_SECOND;
    await load(server, { ...list, first: 1, last: warmUp, repeat: false, seconds: WARM_UP_SECONDS });
    const last = warmUp + seconds * MOST_PER_SECOND;
    return await load(server, { ...list, first: warmUp + 1, last, repeat: false, seconds });
  } finally {
    await server.stop();
  }
}
