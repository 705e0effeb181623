import { BenchWorld } from '../bench-world.ts';
import { loadFigures, takeTurns, throughput } from '../load/rounds.ts';
import { type LoadResult, load, writeRequests } from '../load/wrk.ts';
import { BOTH_CORES, SERVER_CORE } from '../processes/cores.ts';
import type { Server } from '../processes/server.ts';
import type { Scenario } from '../scenario.ts';
import { newSubjects } from '../subjects.ts';

const WARM_UP_SECONDS = 2;
const MOST_PER_SECOND = 22_000;
/** Processes, and the cores that they may use. The load and Redis use the second core too. */
const SETUPS = {
  'one process on one core': [1, SERVER_CORE],
  'one process on two cores': [1, BOTH_CORES],
  'two processes on two cores': [2, BOTH_CORES],
} as const;
type Setup = keyof typeof SETUPS;

/** First reads with one and with two processes. */
export const scenario: Scenario = {
  name: 'two-cores',
  run: ({ rounds, seconds, say }) =>
    BenchWorld.with(0, async (world) => {
      const subjects = newSubjects((WARM_UP_SECONDS + seconds) * MOST_PER_SECOND);
      say(`  creating ${subjects.length} sessions and tokens …`);
      const list = { ...(await writeRequests(world.folder, world.sessions, subjects)), repeat: false };
      await world.fill('broker', subjects);
      /** Each process gets its share of the sessions. */
      const loadAll = async (servers: readonly Server[], first: number, duration: number): Promise<LoadResult> => {
        const share = Math.floor((duration * MOST_PER_SECOND) / servers.length);
        const loads = servers.map((server, index) => {
          const from = first + index * share;
          return load(server, { ...list, first: from, last: from + share - 1, seconds: duration });
        });
        return sum(await Promise.all(loads));
      };
      const turn = async (setup: Setup) => {
        const [processes, cores] = SETUPS[setup];
        const servers = await Promise.all(Array.from({ length: processes }, () => world.start('broker', cores)));
        try {
          await loadAll(servers, 1, WARM_UP_SECONDS);
          return await loadAll(servers, 1 + WARM_UP_SECONDS * MOST_PER_SECOND, seconds);
        } finally {
          await Promise.all(servers.map((server) => server.stop()));
        }
      };
      const results = await takeTurns(Object.keys(SETUPS) as Setup[], rounds, turn, say);
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
    cpuUsPerRequest: total((result) => result.cpuUsPerRequest * result.perSecond) / perSecond,
    serverBusy: total(({ serverBusy }) => serverBusy),
    loadCoreBusy: first.loadCoreBusy,
  };
}
