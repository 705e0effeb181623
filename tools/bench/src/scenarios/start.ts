import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../../../../test/support/statistics.ts';
import { BenchWorld } from '../bench-world.ts';
import { residentBytes } from '../cores.ts';
import { compare, type Scenario } from '../scenario.ts';

/** Within this time without requests, V8 returns what the start has left. */
const IDLE_MS = 30_000;

/** Time from the start of the process to the first 200 of `/readyz`, and memory of an idle process. */
export const scenario: Scenario = ({ rounds, say }) =>
  BenchWorld.with(async (world) => {
    const starts: number[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      starts.push(await world.withServers(['broker'], async ({ broker }) => broker.readyMs));
      say(`  round ${round}  ready after ${starts.at(-1)?.toFixed(0)} ms`);
    }
    const readyMs = median(starts);
    const idleMb = await world.withServers(['broker'], async ({ broker }) => {
      await sleep(IDLE_MS);
      return residentBytes(broker.pid) / 1e6;
    });
    return {
      figures: [
        { label: 'start to ready', unit: 'ms', value: readyMs },
        { label: 'idle, resident memory', unit: 'MB', value: idleMb },
      ],
      comparisons: [
        compare({ claim: 'start to ready', value: readyMs, is: '≤', bound: 450, unit: 'ms' }),
        compare({ claim: 'idle, resident memory', value: idleMb, is: '≤', bound: 90, unit: 'MB' }),
      ],
    };
  });
