import { BenchWorld } from '../bench-world.ts';
import { writeRequests } from '../load/request-files.ts';
import { loadFigures, loadNotes, throughput } from '../load/rounds.ts';
import { takeTurns } from '../load/take-turns.ts';
import { type LoadResult, load, type RequestList } from '../load/wrk.ts';
import { CACHES, type PeerName } from '../peer-names.ts';
import { BOTH_CORES, SERVER_CORE } from '../processes/cores.ts';
import type { Scenario } from '../scenario.ts';
import { newSubjects } from '../subjects.ts';

/** Until the code is compiled. */
const WARM_UP_SECONDS = 3;
/** More than any of them answers in a second; a list that ends too early makes the run invalid. */
const MOST_PER_SECOND = 24_000;
const TWO_CORES = 'broker on two cores';

/** Each request comes with a session nobody has seen, for a token that stands in Redis alone. */
export const scenario: Scenario = {
  name: 'cold',
  run: ({ rounds, seconds, say }) =>
    BenchWorld.with(0, async (world) => {
      const subjects = newSubjects((WARM_UP_SECONDS + seconds) * MOST_PER_SECOND);
      say(`  ${subjects.length} sessions and tokens are made …`);
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
          throughput('requests a second on one core, beside naive', results, ['broker', 'naive'], 1.25),
          throughput('beside async-cache-dedupe', results, ['broker', 'async-cache-dedupe'], 1.5),
          throughput('on two cores, beside its own figure on one', results, [TWO_CORES, 'broker'], 1.6),
        ],
      };
    }),
};

const TURNS = [...CACHES, TWO_CORES] as const;

/** By a process of its own, which has seen none of the sessions. */
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
