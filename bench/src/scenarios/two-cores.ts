import { BenchWorld } from '../bench-world.ts';
import { loadFigures, takeTurns, throughput } from '../load/rounds.ts';
import { type LoadResult, OnceEach, writeRequests } from '../load/wrk.ts';
import { BOTH_CORES, SERVER_CORE } from '../processes/cores.ts';
import type { Server } from '../processes/server.ts';
import type { Scenario } from '../scenario.ts';
import { newSubjects } from '../subjects.ts';

const WARM_UP_SECONDS = 2;
/** More than any process answers on average. If the list is too short, the run is invalid. */
const MOST_PER_SECOND = 18_000;
/** The cores that each process may use. The load and Redis use the second core too. */
const PROCESSES = [SERVER_CORE, BOTH_CORES, BOTH_CORES, BOTH_CORES];
/** The processes, by number, that share the load. */
const SETUPS = {
  'one process on one core': [0],
  'one process on two cores': [1],
  'two processes on two cores': [2, 3],
} as const;
const SETUP_NAMES = Object.keys(SETUPS) as (keyof typeof SETUPS)[];

/** First reads with one and with two processes. */
export const scenario: Scenario = {
  name: 'two-cores',
  run: ({ rounds, seconds, say }) =>
    BenchWorld.with(0, async (world) => {
      const subjects = newSubjects((WARM_UP_SECONDS + rounds * seconds) * MOST_PER_SECOND);
      say(`  creating ${subjects.length} sessions and tokens …`);
      const list = await writeRequests(world.folder, world.sessions, subjects);
      const reads = new OnceEach(list, subjects.length);
      await world.fill('broker', subjects);
      const servers: Server[] = [];
      try {
        for (const cores of PROCESSES) servers.push(await world.start('broker', cores));
        for (const server of servers) await reads.load(server, WARM_UP_SECONDS);
        const results = await takeTurns(
          SETUP_NAMES,
          rounds,
          async (name) => {
            const loaded = servers.filter((_, number) => SETUPS[name].some((one) => one === number));
            return sum(await Promise.all(loaded.map((server) => reads.load(server, seconds))));
          },
          say,
        );
        return {
          figures: loadFigures(results),
          comparisons: [
            throughput(
              'two processes, relative to one on two cores',
              results,
              ['two processes on two cores', 'one process on two cores'],
              1,
            ),
            throughput(
              'one process on two cores, relative to one core',
              results,
              ['one process on two cores', 'one process on one core'],
              1,
            ),
          ],
        };
      } finally {
        await Promise.all(servers.map((server) => server.stop()));
      }
    }),
};

/** The results of processes that ran at the same time. */
function sum(results: readonly LoadResult[]): LoadResult {
  const [first] = results;
  if (!first) throw new Error('no result');
  const total = (figure: (result: LoadResult) => number) => results.reduce((all, result) => all + figure(result), 0);
  const perSecond = total((result) => result.perSecond);
  return {
    perSecond,
    p50Ms: Math.max(...results.map(({ p50Ms }) => p50Ms)),
    p99Ms: Math.max(...results.map(({ p99Ms }) => p99Ms)),
    taken: total(({ taken }) => taken),
    cpuUsPerRequest: total((result) => result.cpuUsPerRequest * result.perSecond) / perSecond,
    serverBusy: total(({ serverBusy }) => serverBusy),
    loadCoreBusy: first.loadCoreBusy,
  };
}
