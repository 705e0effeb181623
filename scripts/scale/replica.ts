import { setTimeout as sleep } from 'node:timers/promises';
import { type BrokerProcess, startBroker } from '../../test/support/broker-process.ts';
import { plainRequest } from '../../test/support/plain-request.ts';
import { sampled } from '../../test/support/prometheus-text.ts';
import { median } from '../../test/support/statistics.ts';
import type { Figures } from './figures.ts';
import type { MeasuredRedis } from './measured-redis.ts';

const STARTS = 3;
const SETTLE_MS = 5_000;
const IDLE_SECONDS = 20;

/** Starts and stops a replica several times, and notes the median start time. */
export async function measureStart(
  env: Readonly<Record<string, string>>,
  store: string,
  figures: Figures,
): Promise<void> {
  const tookMs: number[] = [];
  for (let start = 0; start < STARTS; start += 1) {
    const startedAt = performance.now();
    const replica = await startBroker(env);
    tookMs.push(performance.now() - startedAt);
    await replica.stop();
  }
  figures.note(`start to ready, store ${store}`, `${median(tookMs).toFixed(0)} ms`);
}

/** Reads a metric of the replica. */
export async function metricOf({ adminUrl }: BrokerProcess, name: string): Promise<number> {
  return sampled((await plainRequest(`${adminUrl}/metrics`)).body, name);
}

/** Measures a replica without requests and without due tokens. */
export async function measureIdle(replica: BrokerProcess, { info }: MeasuredRedis, figures: Figures): Promise<void> {
  await sleep(SETTLE_MS);
  const cpu = () => metricOf(replica, 'process_cpu_seconds_total');
  const [cpuFrom, commandsFrom] = [await cpu(), await info('total_commands_processed')];
  await sleep(1_000 * IDLE_SECONDS);
  // One of the commands is this INFO.
  const commands = (await info('total_commands_processed')) - commandsFrom - 1;
  figures.note('idle replica, CPU', `${((100 * ((await cpu()) - cpuFrom)) / IDLE_SECONDS).toFixed(2)} %`);
  figures.note(
    'idle replica, Redis commands per second, including those in scripts',
    (commands / IDLE_SECONDS).toFixed(1),
  );
  const bytes = await metricOf(replica, 'process_resident_memory_bytes');
  figures.note('idle replica, memory', `${(bytes / 2 ** 20).toFixed(0)} MiB`);
}
