import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../../../../test/support/statistics.ts';
import { BenchWorld } from '../bench-world.ts';
import { newSubjects } from '../broker-setup.ts';
import { Rounds } from '../rounds.ts';
import type { Scenario } from '../scenario.ts';
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
    const measured = new Rounds(['alone', 'beside first reads'], say);
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
      await measured.take(rounds, async (kind) => {
        if (kind === 'alone') return readKnown(seconds);
        const running = burst(1 + bursts.length);
        await sleep(1_000 * MARGIN_SECONDS);
        const result = await readKnown(seconds);
        bursts.push(await running);
        return result;
      });
    });
    const ofBursts = (figure: keyof LoadResult) => ({
      peer: 'beside first reads',
      value: median(bursts.map((burst) => burst[figure])),
    });
    return {
      figures: [
        ...measured.figures(),
        { ...ofBursts('perSecond'), label: 'first reads', unit: '/s' },
        { ...ofBursts('p99Ms'), label: 'p99 of first reads', unit: 'ms' },
      ],
      comparisons: [measured.slowAnswers('alone', 3)],
    };
  });
