import { setTimeout as sleep } from 'node:timers/promises';
import { BenchWorld } from '../bench-world.ts';
import { compare } from '../comparison.ts';
import { residentBytes } from '../processes/cores.ts';
import type { Scenario } from '../scenario.ts';
import { median } from '../statistics.ts';

/** What a start leaves behind is collected within half a minute of quiet. */
const IDLE_MS = 30_000;

/** From the start of the process to the first 200 of `/readyz`, and the memory it holds when nobody has asked for a while. */
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
          { ...broker, label: 'to ready', unit: 'ms', value: readyMs },
          { ...broker, label: 'idle, resident', unit: 'MB', value: idleMb },
        ],
        comparisons: [
          compare({ claim: 'to ready', value: readyMs, is: 'atMost', bound: 700, unit: 'ms', digits: 0 }),
          compare({ claim: 'idle, resident', value: idleMb, is: 'atMost', bound: 100, unit: 'MB', digits: 0 }),
        ],
      };
    }),
};
