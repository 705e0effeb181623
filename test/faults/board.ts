import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerProcess } from '../support/broker-process.ts';
import { accessTokenOf, type Fleet } from '../support/fleet.ts';
import type { PlainAnswer } from '../support/plain-request.ts';

interface Row {
  readonly fault: string;
  readonly promise: string;
  readonly measured: string;
}

/** A row of the board, for docs/reliability.md where CHAOS_ROWS says where to put it. */
export function report(row: Row): void {
  const file = process.env['CHAOS_ROWS'];
  if (file) appendFileSync(file, `${JSON.stringify(row)}\n`);
}

export interface Sample {
  readonly status: number;
  readonly code: string | undefined;
  readonly tookMs: number;
  readonly live: boolean;
}

/** One request as an app makes it, and whether the vendor takes the token it was answered with. */
export async function sample(
  fleet: Fleet,
  broker: BrokerProcess,
  session: string,
  uniqueId = 'phone',
): Promise<Sample> {
  const startedAt = performance.now();
  const answer: PlainAnswer | undefined = await broker.getToken(session, uniqueId).catch(() => undefined);
  const tookMs = performance.now() - startedAt;
  if (answer?.status !== 200) {
    const code = answer && JSON.parse(answer.body).code;
    return { status: answer?.status ?? 0, code, tookMs, live: false };
  }
  return { status: 200, code: undefined, tookMs, live: fleet.vendor.checkToken(accessTokenOf(answer)).live };
}

/** Does `once` every `everyMs` for `forMs`, each without waiting for the last, and answers with all that came of it. */
export async function repeatedly<T>(forMs: number, everyMs: number, once: (round: number) => Promise<T>): Promise<T[]> {
  const startedAt = performance.now();
  const under: Promise<T>[] = [];
  for (let round = 0; round * everyMs < forMs; round += 1) {
    await sleep(Math.max(0, startedAt + round * everyMs - performance.now()));
    under.push(once(round));
  }
  return Promise.all(under);
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The most that fell into any second. */
export function mostPerSecond(instants: readonly number[]): number {
  const sorted = [...instants].sort((one, other) => one - other);
  return Math.max(0, ...sorted.map((from, index) => sorted.slice(index).filter((at) => at < from + 1_000).length));
}
