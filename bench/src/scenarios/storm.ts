import { median } from '../../../test/support/statistics.ts';
import { BenchWorld, CACHES, type PeerName } from '../bench-world.ts';
import { compare } from '../figures.ts';
import { SimultaneousRequests } from '../load/simultaneous-requests.ts';
import { BOTH_CORES } from '../processes/cores.ts';
import type { Scenario } from '../scenario.ts';
import { newSubjects } from '../subjects.ts';

const REQUESTS = 1_000;
const PROCESSES = 3;
const LATENCY_MS = 300;
const ALLOWANCE_MS = 100;
/** Storms that warm up the new processes and do not count. */
const WARM_UPS = 5;

interface Storm {
  readonly logins: number;
  readonly slowestMs: number;
}

/** 1,000 simultaneous requests to three processes for one subject without a token. The vendor takes 300 ms. */
export const scenario: Scenario = {
  name: 'storm',
  run: ({ rounds, say }) =>
    BenchWorld.with(LATENCY_MS, async (world) => {
      const storms: [PeerName, Storm[]][] = [];
      for (const peer of CACHES) storms.push([peer, await stormsOn(world, peer, rounds, say)]);
      const brokerFigures = (figure: keyof Storm) =>
        storms.filter(([name]) => name === 'broker').flatMap(([, all]) => all.map((storm) => storm[figure]));
      const slowest = brokerFigures('slowestMs');
      return {
        figures: storms.flatMap(([peer, all]) => [
          { peer, label: 'logins', unit: '', value: median(all.map(({ logins }) => logins)) },
          { peer, label: 'slowest answer', unit: 'ms', value: median(all.map(({ slowestMs }) => slowestMs)) },
        ]),
        comparisons: [
          compare({
            claim: 'logins, worst round',
            value: Math.max(...brokerFigures('logins')),
            is: 'atMost',
            bound: 1,
            unit: '',
            digits: 0,
          }),
          compare({
            claim: 'slowest answer, median of the rounds',
            value: median(slowest),
            is: 'atMost',
            bound: LATENCY_MS + ALLOWANCE_MS,
            unit: 'ms',
            digits: 0,
            beside: `${Math.max(...slowest).toFixed(0)} ms in the worst round`,
          }),
        ],
      };
    }),
};

async function stormsOn(
  world: BenchWorld,
  peer: PeerName,
  rounds: number,
  say: (line: string) => void,
): Promise<Storm[]> {
  const servers = await Promise.all(Array.from({ length: PROCESSES }, () => world.start(peer, BOTH_CORES)));
  const requests = await SimultaneousRequests.open(
    servers.map(({ url }) => url),
    REQUESTS,
  );
  try {
    const [known, ...subjects] = newSubjects(1 + WARM_UPS + rounds);
    if (known) {
      await world.fill(peer, [known]);
      await requests.send(known.uniqueId, world.sessions.of(known));
    }
    for (const subject of subjects.splice(0, WARM_UPS))
      await requests.send(subject.uniqueId, world.sessions.of(subject));
    const storms: Storm[] = [];
    for (const subject of subjects) {
      const before = await world.vendor.logins();
      const slowestMs = await requests.send(subject.uniqueId, world.sessions.of(subject));
      const logins = (await world.vendor.logins()) - before;
      storms.push({ logins, slowestMs });
      say(`  round ${storms.length}  ${peer.padEnd(20)} ${logins} logins, slowest ${slowestMs.toFixed(0)} ms`);
    }
    return storms;
  } finally {
    requests.close();
    await Promise.all(servers.map((server) => server.stop()));
  }
}
