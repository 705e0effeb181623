import { BenchWorld } from '../bench-world.ts';
import { writeRequests } from '../load/request-files.ts';
import { loadFigures, loadNotes } from '../load/rounds.ts';
import { takeTurns } from '../load/take-turns.ts';
import { load } from '../load/wrk.ts';
import { zipf } from '../load/zipf.ts';
import { CACHES } from '../peer-names.ts';
import type { Scenario } from '../scenario.ts';
import { newSubjects } from '../subjects.ts';

const SUBJECTS = 100_000;
/** Every how many requests one comes from a subject that has not asked before and will not again. */
const NEW_EVERY = 100;
const WARM_UP_SECONDS = 3;
/** More than any of them answers in a second; a list that ends too early makes the run invalid. */
const MOST_PER_SECOND = 40_000;

/** A day's traffic: some ask often, most seldom, one in a hundred for the first time. All tokens stand in Redis. */
export const scenario: Scenario = {
  name: 'mixed',
  run: ({ rounds, seconds, say }) =>
    BenchWorld.with(0, async (world) => {
      const order = orderOf((WARM_UP_SECONDS + rounds * seconds) * MOST_PER_SECOND);
      const subjects = newSubjects(SUBJECTS + order.length / NEW_EVERY);
      say(`  ${subjects.length} sessions and tokens are made …`);
      const list = { ...(await writeRequests(world.folder, world.sessions, subjects, order)), repeat: false };
      const results = await world.withServers(CACHES, async (servers) => {
        const warmUp = WARM_UP_SECONDS * MOST_PER_SECOND;
        for (const peer of CACHES) {
          await world.fill(peer, subjects);
          await load(servers[peer], { ...list, first: 1, last: warmUp, seconds: WARM_UP_SECONDS });
        }
        const perTurn = seconds * MOST_PER_SECOND;
        return takeTurns(
          CACHES,
          rounds,
          (peer, round) => {
            const first = 1 + warmUp + round * perTurn;
            return load(servers[peer], { ...list, first, last: first + perTurn - 1, seconds });
          },
          say,
        );
      });
      return { figures: loadFigures(results), notes: loadNotes(results), comparisons: [] };
    }),
};

function orderOf(length: number): number[] {
  const draw = zipf(SUBJECTS);
  return Array.from({ length }, (_, at) => (at % NEW_EVERY === 0 ? SUBJECTS + at / NEW_EVERY : draw()));
}
