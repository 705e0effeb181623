import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { BrokerProcess } from '../support/broker-process.ts';

/** Linux can forget the peak of a process. */
export const canMeasureGrowth = existsSync('/proc/self/clear_refs');

/** The resident memory of the process, and the most since the peak was forgotten, in MB. */
function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const [now = 0, peak = 0] = ['VmRSS', 'VmHWM'].map((name) =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]),
  );
  return { now: now / 1_024, peak: peak / 1_024 };
}

/** Expects that the replica never grows by more than this during the attack. `npm run hostile` prints by how much. */
export async function expectGrowthBelow(
  maxMegabytes: number,
  { pid }: BrokerProcess,
  attack: () => Promise<unknown>,
): Promise<void> {
  const before = memoryOf(pid).now;
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  await attack();
  const megabytes = memoryOf(pid).peak - before;
  if (process.env['HOSTILE_TIMES']) process.stdout.write(`${megabytes.toFixed(0)} MB more at most\n`);
  expect(megabytes).toBeLessThan(maxMegabytes);
}
