import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerProcess } from '../support/broker-process.ts';
import type { Fleet } from '../support/fleet.ts';
import type { PlainAnswer } from '../support/plain-request.ts';
import { accessTokenOf } from '../support/served-token.ts';
import { percentile } from '../support/statistics.ts';

export interface Row {
  /** Where the fault happens, and what is promised then. Faults with the same text stand below each other. */
  readonly promise: string;
  readonly fault: string;
  readonly measured: string;
}

/** Adds a row to the table of faults in docs/test-results.md, if CHAOS_ROWS names a file for the rows. */
export function reportFault(row: Row): void {
  const file = process.env['CHAOS_ROWS'];
  if (file) appendFileSync(file, `${JSON.stringify(row)}\n`);
}

export interface TimedRead {
  /** 0 if the broker did not answer. */
  readonly status: number;
  readonly code: string | undefined;
  readonly tookMs: number;
  /** Whether the vendor accepts the token in the answer. */
  readonly live: boolean;
}

/** Sends one read like an app. */
export async function timedRead(
  fleet: Fleet,
  broker: BrokerProcess,
  session: string,
  uniqueId = 'phone',
): Promise<TimedRead> {
  const startedAt = performance.now();
  const answer: PlainAnswer | undefined = await broker.getToken(session, uniqueId).catch(() => undefined);
  const tookMs = performance.now() - startedAt;
  if (answer?.status !== 200) {
    const code = answer && JSON.parse(answer.body).code;
    return { status: answer?.status ?? 0, code, tookMs, live: false };
  }
  return { status: 200, code: undefined, tookMs, live: fleet.vendor.checkToken(accessTokenOf(answer)).live };
}

/** The reads that returned no token, or a token that the vendor does not accept. */
export function failedReads(reads: readonly TimedRead[]): TimedRead[] {
  return reads.filter(({ status, live }) => status !== 200 || !live);
}

/** The time within which this share of the reads was answered, in ms. */
export function answeredWithin(reads: readonly TimedRead[], share: number): number {
  const durations = reads.map(({ tookMs }) => tookMs);
  return percentile(durations, share);
}

/** Starts `once` every `everyMs` for `forMs`, without waiting for the call before. Returns all results. */
export async function repeatedly<T>(forMs: number, everyMs: number, once: (round: number) => Promise<T>): Promise<T[]> {
  const startedAt = performance.now();
  const results: Promise<T>[] = [];
  for (let round = 0; round * everyMs < forMs; round += 1) {
    await sleep(Math.max(0, startedAt + round * everyMs - performance.now()));
    results.push(once(round));
  }
  return Promise.all(results);
}
