import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../../../test/support/statistics.ts';
import { BenchWorld } from '../bench-world.ts';
import { compare } from '../figures.ts';
import { residentBytes } from '../processes/cores.ts';
import type { Scenario } from '../scenario.ts';

/** Within this time without requests, V8 returns what the start has left. */
const IDLE_MS = 30_000;

/** Time from the start of the process to the first 200 of `/readyz`, and memory of an idle process. */
export const scenario: Scenario = {
  name: 'start',
  run: ({ rounds, say }) =>
    BenchWorld.with(0, async (world) => {
      const starts: number[] = [];
      for (let round = 1; round <= rounds; round += 1) {
        const { readyMs, stop } = await world.start('broker');
        await stop();
        starts.push(readyMs);
        say(`  round ${round}  ready after ${readyMs.toFixed(0)} ms`);
      }
      const readyMs = median(starts);
      const { pid, stop } = await world.start('broker');
      await sleep(IDLE_MS);
      const idleMb = residentBytes(pid) / 1e6;
      await stop();
      say(`  idle for ${IDLE_MS / 1_000} s  ${idleMb.toFixed(1)} MB`);
      const broker = { peer: 'broker' };
      return {
        figures: [
          { ...broker, label: 'start to ready', unit: 'ms', value: readyMs },
          { ...broker, label: 'idle, resident memory', unit: 'MB', value: idleMb },
        ],
        comparisons: [
          compare({ claim: 'start to ready', value: readyMs, is: 'atMost', bound: 450, unit: 'ms', digits: 0 }),
          compare({ claim: 'idle, resident memory', value: idleMb, is: 'atMost', bound: 90, unit: 'MB', digits: 0 }),
        ],
      };
    }),
};
