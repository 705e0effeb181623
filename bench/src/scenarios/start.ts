import { setTimeout as sleep } from 'node:timers/promises';
import { BenchWorld } from '../bench-world.ts';
import { compare } from '../comparison.ts';
import { residentBytes } from '../processes/cores.ts';
import type { Scenario } from '../scenario.ts';
import { median } from '../statistics.ts';

const IDLE_MS = 3_000;

/** From the start of the process to the first 200 of `/readyz`, and the memory it holds when nobody asks. */
export const scenario: Scenario = {
  name: 'start',
  run: ({ rounds, say }) =>
    BenchWorld.with(0, async (world) => {
      const starts: { readyMs: number; idleMb: number }[] = [];
      for (let round = 1; round <= rounds; round += 1) {
        const { readyMs, pid, stop } = await world.start('broker');
        await sleep(IDLE_MS);
        const idleMb = residentBytes(pid) / 1e6;
        await stop();
        starts.push({ readyMs, idleMb });
        say(`  round ${round}  ready after ${readyMs.toFixed(0)} ms, idle ${idleMb.toFixed(1)} MB`);
      }
      const readyMs = median(starts.map((start) => start.readyMs));
      const idleMb = median(starts.map((start) => start.idleMb));
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
