import { eventually } from '../../../../test/support/eventually.ts';
import { median } from '../../../../test/support/statistics.ts';
import { BenchWorld } from '../bench-world.ts';
import { fillBrokerStore, newSubjects } from '../broker-setup.ts';
import { cpuMs } from '../cores.ts';
import { compare, type Scenario } from '../scenario.ts';

const TOKENS = 10_000;
/** Not all, because the broker repeats a failed renewal only minutes later. */
const MEASURED = 9_900;
/** Renewals at the start that the figures ignore, because the code is not optimized yet. */
const WARM_UP = 2_000;
/** Every token has spent this share of its life, so the broker's worker finds it due. */
const SPENT_SHARE = 0.95;
const TIMEOUT_MS = 120_000;

/** One process on one core renews due tokens in the background. The vendor answers at once. */
export const scenario: Scenario = async ({ rounds, say }) => {
  const drains: Awaited<ReturnType<typeof renewAll>>[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const drain = await BenchWorld.with(renewAll);
    drains.push(drain);
    say(`  round ${round}  ${drain.perSecond.toFixed(0)}/s, ${drain.cpuMsEach.toFixed(2)} ms CPU`);
  }
  const perSecond = median(drains.map((drain) => drain.perSecond));
  return {
    figures: [
      { label: 'renewals', value: perSecond, unit: '/s' },
      { label: 'server CPU per renewal', value: median(drains.map(({ cpuMsEach }) => cpuMsEach)), unit: 'ms' },
    ],
    comparisons: [compare({ claim: 'renewals', value: perSecond, is: '≥', bound: 1_000, unit: '/s' })],
  };
};

async function renewAll(world: BenchWorld) {
  await fillBrokerStore(world.redis.url, newSubjects(TOKENS), SPENT_SHARE);
  return world.withServers(['broker'], async ({ broker }) => {
    const renewed = async (count: number) => {
      await eventually(() => world.vendor.state().succeeded >= count, { timeoutMs: TIMEOUT_MS, everyMs: 5 });
      return [world.vendor.state().succeeded, performance.now(), cpuMs(broker.pid)] as const;
    };
    const [countFrom, from, cpuFrom] = await renewed(WARM_UP);
    const [count, to, cpu] = await renewed(MEASURED);
    const renewals = count - countFrom;
    return { perSecond: (renewals / (to - from)) * 1_000, cpuMsEach: (cpu - cpuFrom) / renewals };
  });
}
