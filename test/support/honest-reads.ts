import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { BrokerProcess } from './broker-process.ts';
import { percentile } from './statistics.ts';

/**
 * `npm run hostile` measures times. In `npm run test:all`, other tests take the CPU, and an attack shares its process
 *   with the reads: there, every read must succeed, however long it takes.
 */
export const isMeasured = process.env['HOSTILE_TIMES'] !== undefined;
/** The 99th percentile of the reads of known tokens during an attack. */
const P99_MS = 250;
/** How long an account that has not logged in lately may wait for its token during an attack. */
export const NEWCOMER_MS = isMeasured ? 1_000 : 10_000;
const PAUSE_MS = isMeasured ? 10 : 50;

/**
 * In `npm run hostile`, prints the p99 of reads of known tokens and expects that they were answered soon.
 * @param durationsMs of the reads
 * @param usualMs what a read takes on this machine without the attack
 */
export function expectPrompt(durationsMs: readonly number[], usualMs = 0): void {
  if (!isMeasured) return;
  const p99Ms = percentile(durationsMs, 0.99);
  process.stdout.write(`p99 of ${durationsMs.length} reads of known tokens: ${p99Ms.toFixed(0)} ms\n`);
  expect(p99Ms).toBeLessThan(P99_MS + usualMs);
}

/** As {@link durationsDuring}. Expects that all reads are served, and soon. */
export async function readDuring(...during: Parameters<typeof durationsDuring>): Promise<void> {
  expectPrompt(await durationsDuring(...during));
}

/**
 * Reads known tokens, one after the other, while the attack runs. Expects that all of them are served.
 * @param sessions sessions that the broker has accepted before
 * @returns how long each read took, in ms
 */
export async function durationsDuring(
  broker: BrokerProcess,
  sessions: readonly string[],
  attack: () => Promise<unknown>,
): Promise<readonly number[]> {
  const read = async (number: number): Promise<number> => {
    const startedAt = performance.now();
    const { status, body } = await broker.getToken(sessions[number % sessions.length] ?? '', 'phone');
    expect(status, body).toBe(200);
    const latencyMs = performance.now() - startedAt;
    await sleep(PAUSE_MS);
    return latencyMs;
  };
  let isOver = false;
  const running = attack().finally(() => {
    isOver = true;
  });
  const during: number[] = [];
  for (let number = 0; !isOver; number += 1) during.push(await read(number));
  await running;
  return during;
}
