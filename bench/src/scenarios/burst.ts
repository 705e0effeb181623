import { setTimeout as sleep } from 'node:timers/promises';
import { median, medianRatio } from '../../../test/support/statistics.ts';
import { BenchWorld } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { compare, type Scenario } from '../scenario.ts';
import { CONNECTIONS, type LoadResult, load } from '../wrk.ts';

const KNOWN = 500;
const FIRST_READS_PER_SECOND = 2_000;
/** The first reads begin before the measured second, and end after it. */
const MARGIN_SECONDS = 1;
const WARM_UP_SECONDS = 2;

/** Reads from memory without and with 2,000 first reads per second beside them. */
export const scenario: Scenario = ({ rounds, seconds, say }) =>
  BenchWorld.with(async (world) => {
    const burstSeconds = seconds + 2 * MARGIN_SECONDS;
    const perBurst = 2 * burstSeconds * FIRST_READS_PER_SECOND;
    const subjects = newSubjects(KNOWN + (1 + rounds) * perBurst);
    say(`  creating ${subjects.length} sessions and tokens …`);
    const list = await world.prepare(['broker'], subjects);
    const alone: LoadResult[] = [];
    const beside: LoadResult[] = [];
    const bursts: LoadResult[] = [];
    await world.withServers(['broker'], async ({ broker }) => {
      const readKnown = (duration: number) =>
        load(broker, { list, first: 1, last: KNOWN, repeat: true, seconds: duration });
      const burst = (number: number) => {
        const first = KNOWN + 1 + number * perBurst;
        const pauseMs = (1_000 * CONNECTIONS) / FIRST_READS_PER_SECOND;
        return load(broker, { list, first, last: first + perBurst - 1, seconds: burstSeconds, pauseMs });
      };
      await Promise.all([readKnown(WARM_UP_SECONDS), burst(0)]);
      for (let round = 1; round <= rounds; round += 1) {
        alone.push(await readKnown(seconds));
        const running = burst(round);
        await sleep(1_000 * MARGIN_SECONDS);
        beside.push(await readKnown(seconds));
        bursts.push(await running);
        say(`  round ${round}  p99 ${alone.at(-1)?.p99Ms} ms, beside first reads ${beside.at(-1)?.p99Ms} ms`);
      }
    });
    const p99s = (results: readonly LoadResult[]) => results.map(({ p99Ms }) => p99Ms);
    const value = medianRatio(p99s(beside), p99s(alone));
    const [known, both] = ['p99 of reads from memory', { peer: 'beside first reads' }];
    return {
      figures: [
        { peer: 'alone', label: known, unit: 'ms', value: median(p99s(alone)) },
        { ...both, label: known, unit: 'ms', value: median(p99s(beside)) },
        { ...both, label: 'first reads', unit: '/s', value: median(bursts.map(({ perSecond }) => perSecond)) },
        { ...both, label: 'p99 of first reads', unit: 'ms', value: median(p99s(bursts)) },
      ],
      comparisons: [
        compare({ claim: 'p99 beside first reads, relative to alone', value, is: '≤', bound: 3, unit: '×' }),
      ],
    };
  });
