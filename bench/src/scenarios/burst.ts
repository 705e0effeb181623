import { median, medianRatio } from '../../../test/support/statistics.ts';
import { BenchWorld } from '../bench-world.ts';
import { compare } from '../figures.ts';
import { CONNECTIONS, type LoadResult, load, writeRequests } from '../load/wrk.ts';
import type { Scenario } from '../scenario.ts';
import { newSubjects } from '../subjects.ts';

const KNOWN = 500;
const FIRST_READS_PER_SECOND = 2_000;
/** The first reads begin before the measured second, and end after it. */
const MARGIN_SECONDS = 1;
const WARM_UP_SECONDS = 2;

/** Reads from memory without and with 2,000 first reads per second beside them. */
export const scenario: Scenario = {
  name: 'burst',
  run: ({ rounds, seconds, say }) =>
    BenchWorld.with(0, async (world) => {
      const burstSeconds = seconds + 2 * MARGIN_SECONDS;
      const perBurst = 2 * burstSeconds * FIRST_READS_PER_SECOND;
      const subjects = newSubjects(KNOWN + (1 + rounds) * perBurst);
      say(`  creating ${subjects.length} sessions and tokens …`);
      const list = await writeRequests(world.folder, world.sessions, subjects);
      await world.fill('broker', subjects);
      return world.withServers(['broker'], async ({ broker }) => {
        const known = (duration: number) =>
          load(broker, { ...list, first: 1, last: KNOWN, repeat: true, seconds: duration });
        const burst = (number: number) => {
          const first = KNOWN + 1 + number * perBurst;
          const pauseMs = (1_000 * CONNECTIONS) / FIRST_READS_PER_SECOND;
          const last = first + perBurst - 1;
          return load(broker, { ...list, first, last, repeat: false, seconds: burstSeconds, pauseMs });
        };
        await Promise.all([known(WARM_UP_SECONDS), burst(0)]);
        const quiet: LoadResult[] = [];
        const beside: LoadResult[] = [];
        const bursts: LoadResult[] = [];
        for (let round = 1; round <= rounds; round += 1) {
          quiet.push(await known(seconds));
          const running = burst(round);
          await new Promise((resolve) => setTimeout(resolve, 1_000 * MARGIN_SECONDS));
          beside.push(await known(seconds));
          bursts.push(await running);
          const [one, other, rate] = [quiet.at(-1)?.p99Ms, beside.at(-1)?.p99Ms, bursts.at(-1)?.perSecond];
          say(`  round ${round}  p99 ${one} ms, with ${rate?.toFixed(0)} first reads per second ${other} ms`);
        }
        const p99s = (results: readonly LoadResult[]) => results.map(({ p99Ms }) => p99Ms);
        const value = medianRatio(p99s(beside), p99s(quiet));
        return {
          figures: [
            { peer: 'alone', label: 'p99 of reads from memory', unit: 'ms', value: median(p99s(quiet)) },
            { peer: 'beside first reads', label: 'p99 of reads from memory', unit: 'ms', value: median(p99s(beside)) },
            {
              peer: 'beside first reads',
              label: 'first reads',
              unit: '/s',
              value: median(bursts.map((b) => b.perSecond)),
            },
            { peer: 'beside first reads', label: 'p99 of first reads', unit: 'ms', value: median(p99s(bursts)) },
          ],
          comparisons: [
            compare({ claim: 'p99 beside first reads, relative to alone', value, is: 'atMost', bound: 3, unit: '×' }),
          ],
        };
      });
    }),
};
