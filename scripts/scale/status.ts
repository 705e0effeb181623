import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Subject } from '../../src/token/subject.ts';
import type { BrokerProcess } from '../../test/support/broker-process.ts';
import { percentile } from '../../test/support/statistics.ts';
import type { Figures } from './figures.ts';
import type { MeasuredRedis } from './measured-redis.ts';
import { readOf, type SessionIssuer } from './reads.ts';

/** People with a console open. */
const WATCHERS = 10;
const SECONDS = 60;
const READS_PER_SECOND = 100;

/** Measures `GET /status`, which ten people ask every second, beside reads with new sessions for tokens in Redis. */
export async function measureStatus(
  replica: BrokerProcess,
  redis: MeasuredRedis,
  { issuer, subjects, adminToken }: { issuer: SessionIssuer; subjects: readonly Subject[]; adminToken: string },
  figures: Figures,
): Promise<void> {
  const [internal, api] = [new Pool(replica.adminUrl), new Pool(replica.url)];
  const timed = async (pool: Pool, path: string, authorization: string) => {
    const startedAt = performance.now();
    const { statusCode, body } = await pool.request({ path, method: 'GET', headers: { authorization } });
    await body.dump();
    if (statusCode !== 200) throw new Error(`${path} was answered with ${statusCode}`);
    return performance.now() - startedAt;
  };
  const every = async (ms: number, firstMs: number, times: number, once: (turn: number) => Promise<number>) => {
    const startAt = performance.now() + firstMs;
    const answers: Promise<number>[] = [];
    for (let turn = 0; turn < times; turn += 1) {
      await sleep(Math.max(0, startAt + turn * ms - performance.now()));
      answers.push(once(turn));
    }
    return Promise.all(answers);
  };
  const askStatus = () => timed(internal, '/status', `Bearer ${adminToken}`);
  const watch = (watcher: number) => every(1_000, (watcher * 1_000) / WATCHERS, SECONDS, askStatus);
  const read = async (turn: number) => {
    const { path, headers } = await readOf(subjects[turn % subjects.length] as Subject, issuer);
    return timed(api, path, headers.authorization);
  };
  const readAlongside = () => every(1_000 / READS_PER_SECOND, 0, SECONDS * READS_PER_SECOND, read);

  const cpuFrom = await redis.cpuSeconds();
  await redis.client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '1000');
  await redis.client.call('SLOWLOG', 'RESET');
  const watching = Promise.all(Array.from({ length: WATCHERS }, (_, watcher) => watch(watcher)));
  const [watched, reads] = await Promise.all([watching, readAlongside()]);
  const cpu = (100 * ((await redis.cpuSeconds()) - cpuFrom)) / SECONDS;
  const slow = (await redis.client.call('SLOWLOG', 'GET', '-1')) as [number, number, number][];
  await Promise.all([internal.close(), api.close()]);

  const spread = (tookMs: readonly number[]) => {
    const [p50, p99, max] = [0.5, 0.99, 1].map((share) => `${percentile([...tookMs], share).toFixed(1)} ms`);
    return `p50 ${p50}, p99 ${p99}, max ${max}`;
  };
  figures.note(`GET /status, asked every second by ${WATCHERS} people`, spread(watched.flat()));
  figures.note(`beside it, ${READS_PER_SECOND} reads per second with new sessions`, spread(reads));
  figures.note('CPU of Redis for both', `${cpu.toFixed(1)} %`);
  const slowest = Math.max(0, ...slow.map(([, , micros]) => micros)) / 1_000;
  figures.note('slowest command of Redis during that', slowest > 0 ? `${slowest.toFixed(1)} ms` : 'less than 1 ms');
}
