import { Client } from 'undici';
import { loadConfig } from '../../../../src/config/config.ts';
import { createLogger } from '../../../../src/logger.ts';
import { startService } from '../../../../src/service.ts';
import { startVendorSimulator } from '../../../../src/simulator/vendor-simulator.ts';
import type { Subject } from '../../../../src/token/subject.ts';
import { startRedis } from '../../../../test/support/redis-server.ts';
import { brokerEnvironment, fillBrokerStore, newSubjects } from '../broker-setup.ts';
import { textTable } from '../report.ts';
import { BenchSessions } from '../sessions.ts';
import { CommandLog, TimerCount, usesLease } from './counters.ts';
import { mostMarkCompacts, redisBytesPerToken } from './memory.ts';

/** Reads of each kind: enough to find an operation that only some of the reads cause. */
const READS = 500;
/** The figure of docs/production.md. */
const REDIS_BYTES = 1_230;

/**
 * `npm run bench -- --smoke`: counts the operations of a read, the bytes of a token in Redis, and full garbage
 * collections. The speed of the machine does not change these counts, unless a command to Redis takes longer than its
 * timeout.
 * @returns whether all counts are within their limits
 */
export async function smoke(): Promise<boolean> {
  const { warm, first, login } = await readCosts();
  const checks: readonly [read: string, operation: string, counted: number, least: number, most: number][] = [
    ['warm', 'round trips to Redis', warm.roundTrips, 0, 0],
    ['warm', 'leases', warm.leases, 0, 0],
    ['warm', 'timers', warm.timers, 0, 0],
    ['first', 'round trips to Redis', first.roundTrips, 1, 1],
    ['first', 'leases', first.leases, 0, 0],
    // The timeout of the command to Redis. It starts a second one if this process stands still.
    ['first', 'timers', first.timers, 1, 1.01],
    // A login needs both. These rows show that the counters work.
    ['login', 'leases', login.leases, 1, Number.POSITIVE_INFINITY],
    ['login', 'timers', login.timers, 1, Number.POSITIVE_INFINITY],
    ['token', 'bytes of Redis', Math.round(await redisBytesPerToken()), 0, 1.1 * REDIS_BYTES],
    ['warm, Node.js 24', 'mark-compacts in 5 s', await mostMarkCompacts(), 0, 2],
  ];
  const isRight = (counted: number, least: number, most: number) => counted >= least && counted <= most;
  const rows = checks.map(([read, operation, ...counts]) => {
    return [read, operation, ...counts.map(String), isRight(...counts) ? 'ok' : 'FAILED'];
  });
  process.stdout.write(`${textTable([['of', 'what', 'counted', 'at least', 'at most', ''], ...rows])}\n`);
  return checks.every(([, , ...counts]) => isRight(...counts));
}

/** Counts the operations of reads, on a service in this process with a new Redis and a vendor simulator. */
async function readCosts() {
  const redis = await startRedis();
  const vendor = await startVendorSimulator();
  const sessions = new BenchSessions();
  const env = { ...brokerEnvironment, ...sessions.env, REDIS_URL: redis.url, VENDOR_BASE_URL: vendor.url };
  const commands = await CommandLog.open(redis.url);
  const timers = new TimerCount();
  const config = loadConfig({ ...env, HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'error' });
  const service = await startService(config, createLogger(config.logLevel), 'smoke');
  // An app that sends one request after the other on one connection.
  const app = new Client(service.url);
  const requestOf = (subject: Subject) => ({
    method: 'GET',
    path: `/sdk-token?uniqueId=${subject.uniqueId}`,
    headers: { authorization: `Bearer ${sessions.of(subject)}` },
  });
  type Read = ReturnType<typeof requestOf>;
  const getToken = async (read: Read): Promise<void> => {
    const { statusCode, body } = await app.request(read);
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`the answer is not a token, but ${statusCode}: ${text}`);
  };
  /** Average operations per read. */
  const costOf = async (reads: readonly Read[]) => {
    const timersBefore = timers.created;
    const seen = await commands.during(async () => {
      for (const read of reads) await getToken(read);
    });
    return {
      roundTrips: seen.length / reads.length,
      leases: seen.filter(usesLease).length / reads.length,
      timers: (timers.created - timersBefore) / reads.length,
    };
  };
  try {
    const [known, ...stored] = newSubjects(1 + READS) as [Subject, ...Subject[]];
    await fillBrokerStore(redis.url, [known, ...stored]);
    const inMemory = requestOf(known);
    await getToken(inMemory);
    return {
      /** The token is in memory. */
      warm: await costOf(Array.from({ length: READS }, () => inMemory)),
      /** The token is only in Redis, and the session is new. */
      first: await costOf(stored.map(requestOf)),
      /** There is no token, so the broker logs in. */
      login: await costOf(newSubjects(1).map(requestOf)),
    };
  } finally {
    await app.close();
    commands.close();
    await service.close();
    await Promise.all([vendor.close(), redis.stop()]);
  }
}
