import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { BrokerProcess } from '../support/broker-process.ts';
import { isMeasured } from '../support/honest-reads.ts';

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

/** Of each process, before its first attack. A later attack finds memory that an earlier one has left. */
const memoryBefore = new Map<number, number>();

/**
 * Expects that the replica never has more than this during the attack beyond what it had before its first one. `npm run
 * hostile` prints how much more.
 */
export async function expectGrowthBelow(
  maxMegabytes: number,
  { pid }: BrokerProcess,
  attack: () => Promise<unknown>,
): Promise<void> {
  const before = memoryBefore.get(pid) ?? memoryOf(pid).now;
  memoryBefore.set(pid, before);
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  await attack();
  const megabytes = memoryOf(pid).peak - before;
  if (isMeasured) process.stdout.write(`${megabytes.toFixed(0)} MB more at most\n`);
  expect(megabytes).toBeLessThan(maxMegabytes);
}
