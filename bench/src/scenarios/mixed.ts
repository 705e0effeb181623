import { BenchWorld, CACHES } from '../bench-world.ts';
import { loadFigures, loadNotes, takeTurns } from '../load/rounds.ts';
import { load, writeRequests } from '../load/wrk.ts';
import type { Scenario } from '../scenario.ts';
import { newSubjects } from '../subjects.ts';

const SUBJECTS = 100_000;
/** One in this number of requests comes from a subject that reads only once. */
const NEW_EVERY = 100;
const WARM_UP_SECONDS = 3;
/** More than any peer answers per second. If the list is too short, the run is invalid. */
const MOST_PER_SECOND = 40_000;

/** Mixed traffic: few subjects read often, most read rarely, and 1 % of reads are first reads. Redis has all tokens. */
export const scenario: Scenario = {
  name: 'mixed',
  run: ({ rounds, seconds, say }) =>
    BenchWorld.with(0, async (world) => {
      const order = orderOf((WARM_UP_SECONDS + rounds * seconds) * MOST_PER_SECOND);
      const subjects = newSubjects(SUBJECTS + order.length / NEW_EVERY);
      say(`  creating ${subjects.length} sessions and tokens …`);
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

/** Draws numbers below `count` by Zipf's law: number n has the weight 1 / (n + 1). */
function zipf(count: number): () => number {
  let sum = 0;
  const cumulative = Float64Array.from({ length: count }, (_, number) => {
    sum += 1 / (number + 1);
    return sum;
  });
  return () => {
    const drawn = Math.random() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulative[middle] ?? 0) > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
