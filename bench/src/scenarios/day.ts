import { BenchWorld, CACHES } from '../bench-world.ts';
import { loadFigures, loadNotes, takeTurns } from '../load/rounds.ts';
import { OnceEach, writeRequests } from '../load/wrk.ts';
import type { Scenario } from '../scenario.ts';
import { type BenchSubject, newSubjects } from '../subjects.ts';

const SUBJECTS = 100_000;
/** Share of the requests with a new session, besides the first request of each subject. Together they are 76 %. */
const NEW_SESSIONS = 0.7;
const WARM_UP_SECONDS = 2;
/** More than any peer answers on average. If the list is too short, the run is invalid. */
const MOST_PER_SECOND = 16_000;

/** A day of a fleet: few subjects read often, most read rarely, and 76 % of the sessions are new. Redis has all tokens. */
export const scenario: Scenario = {
  name: 'day',
  run: ({ rounds, seconds, say }) =>
    BenchWorld.with(0, async (world) => {
      const all = newSubjects(SUBJECTS);
      const { subjects, order } = dayOf(all, (WARM_UP_SECONDS + rounds * seconds) * MOST_PER_SECOND);
      say(`  creating ${subjects.length} sessions and ${SUBJECTS} tokens …`);
      const list = await writeRequests(world.folder, world.sessions, subjects, order);
      const reads = new OnceEach(list, order.length);
      const results = await world.withServers(CACHES, async (servers) => {
        for (const peer of CACHES) {
          await world.fill(peer, all);
          await reads.load(servers[peer], WARM_UP_SECONDS);
        }
        return takeTurns(CACHES, rounds, (peer) => reads.load(servers[peer], seconds), say);
      });
      return { figures: loadFigures(results), notes: loadNotes(results), comparisons: [] };
    }),
};

/** The subject of each session, and the session of each request. */
function dayOf(all: readonly BenchSubject[], requests: number): { subjects: BenchSubject[]; order: number[] } {
  const draw = zipf(SUBJECTS);
  const latestSession = new Map<number, number>();
  const subjects: BenchSubject[] = [];
  const order = Array.from({ length: requests }, () => {
    const drawn = draw();
    const known = Math.random() < NEW_SESSIONS ? undefined : latestSession.get(drawn);
    if (known !== undefined) return known;
    const subject = all[drawn];
    if (subject) latestSession.set(drawn, subjects.push(subject) - 1);
    return subjects.length - 1;
  });
  return { subjects, order };
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
