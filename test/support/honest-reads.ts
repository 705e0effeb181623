import { availableParallelism, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { BrokerProcess } from './broker-process.ts';
import { percentile } from './statistics.ts';

/** The 99th percentile of the reads of known tokens during an attack. */
const P99_MS = 250;
/** The same while other programs keep the machine busy. */
const P99_BUSY_MS = 3_000;
const PAUSE_MS = 10;

/**
 * Reads known tokens, one after the other, while the attack runs. Expects that all of them are served, and soon.
 * @param sessions sessions that the broker has accepted before
 */
export async function readDuring(
  broker: BrokerProcess,
  sessions: readonly string[],
  attack: () => Promise<unknown>,
): Promise<void> {
  const read = async (number: number): Promise<number> => {
    const startedAt = performance.now();
    const { status, body } = await broker.getToken(sessions[number % sessions.length] ?? '', 'phone');
    expect(status, body).toBe(200);
    const latencyMs = performance.now() - startedAt;
    await sleep(PAUSE_MS);
    return latencyMs;
  };
  const isBusy = (loadavg()[0] ?? 0) > availableParallelism();
  let isOver = false;
  const running = attack().finally(() => {
    isOver = true;
  });
  const during: number[] = [];
  for (let number = 0; !isOver; number += 1) during.push(await read(number));
  await running;
  expect(percentile(during, 0.99)).toBeLessThan(isBusy ? P99_BUSY_MS : P99_MS);
}
