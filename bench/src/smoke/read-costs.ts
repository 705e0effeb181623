import { loadConfig } from '../../../src/config/config.ts';
import { createLogger } from '../../../src/logger.ts';
import { startService } from '../../../src/service.ts';
import { startVendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import { startRedis } from '../../../test/support/redis-server.ts';
import { brokerEnvironment } from '../broker-environment.ts';
import { fillBrokerStore } from '../fill-broker-store.ts';
import { BenchSessions } from '../sessions.ts';
import { type BenchSubject, newSubjects } from '../subjects.ts';
import { CommandLog, concernsLease } from './command-log.ts';
import { OneConnection } from './one-connection.ts';
import { TimerCount } from './timer-count.ts';

/** How often each kind of read is made: what happens once a read cannot hide among what happens now and then. */
const READS = 500;

/** What each read of a kind costs. */
export interface ReadCost {
  readonly roundTrips: number;
  readonly leases: number;
  readonly timers: number;
}

/** Of a token in memory, of one in Redis alone with a session never seen, and of one that has to be logged in for. */
export interface ReadCosts {
  readonly hot: ReadCost;
  readonly cold: ReadCost;
  readonly first: ReadCost;
}

interface Asked extends BenchSubject {
  readonly session: string;
}

/** Counts what reads cost, on a service in this process with a Redis and a vendor of its own. */
export async function readCosts(): Promise<ReadCosts> {
  const redis = await startRedis();
  const vendor = await startVendorSimulator();
  const sessions = new BenchSessions();
  const env = { ...brokerEnvironment, ...sessions.env, REDIS_URL: redis.url, VENDOR_BASE_URL: vendor.url };
  const commands = await CommandLog.open(redis.url);
  const timers = new TimerCount();
  const config = loadConfig({ ...env, HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'error' });
  const service = await startService(config, createLogger(config.logLevel), 'smoke');
  const app = new OneConnection(service.url);
  const asks = (subject: BenchSubject): Asked => ({ ...subject, session: sessions.of(subject) });
  const costOf = async (asked: readonly Asked[]): Promise<ReadCost> => {
    const timersBefore = timers.made;
    const seen = await commands.during(async () => {
      for (const { uniqueId, session } of asked) await app.getToken(uniqueId, session);
    });
    return {
      roundTrips: seen.length / asked.length,
      leases: seen.filter(concernsLease).length / asked.length,
      timers: (timers.made - timersBefore) / asked.length,
    };
  };
  try {
    const [known, ...stored] = newSubjects(1 + READS) as [BenchSubject, ...BenchSubject[]];
    await fillBrokerStore(redis.url, [known, ...stored]);
    const hot = asks(known);
    await app.getToken(hot.uniqueId, hot.session);
    return {
      hot: await costOf(Array.from({ length: READS }, () => hot)),
      cold: await costOf(stored.map(asks)),
      first: await costOf(newSubjects(1).map(asks)),
    };
  } finally {
    app.close();
    commands.close();
    await service.close();
    await Promise.all([vendor.close(), redis.stop()]);
  }
}
