import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { loadConfig } from '../../../src/config/config.ts';
import { createLogger } from '../../../src/logger.ts';
import { startService } from '../../../src/service.ts';
import { startVendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import { startRedis } from '../../../test/support/redis-server.ts';
import { brokerEnvironment, fillBrokerStore } from '../broker-setup.ts';
import { textTable } from '../report/tables.ts';
import { BenchSessions } from '../sessions.ts';
import { type BenchSubject, newSubjects } from '../subjects.ts';
import { CommandLog, TimerCount, usesLease } from './counters.ts';

/** Reads of each kind: enough to find an operation that only some of the reads cause. */
const READS = 500;

/**
 * `npm run bench -- --smoke`: counts the operations of a read. The speed of the machine does not change these counts,
 * unless a command to Redis takes longer than its timeout.
 * @returns whether all counts are within their limits
 */
export async function smoke(): Promise<boolean> {
  const { warm, first, login } = await readCosts();
  const checks = [
    ['warm', 'round trips to Redis', warm.roundTrips, exactly(0)],
    ['warm', 'leases', warm.leases, exactly(0)],
    ['warm', 'timers', warm.timers, exactly(0)],
    ['first', 'round trips to Redis', first.roundTrips, exactly(1)],
    ['first', 'leases', first.leases, exactly(0)],
    // One timer serves the deadlines of all commands to Redis. It starts again at most every 45 ms.
    ['first', 'timers', first.timers, lessThan(0.05)],
    // A login needs both. These rows show that the counters work.
    ['login', 'leases', login.leases, atLeast(1)],
    ['login', 'timers', login.timers, atLeast(1)],
  ] as const;
  const cells = checks.map(([read, operation, counted, { allowed, holds }]) => [
    read,
    operation,
    String(counted),
    allowed,
    holds(counted) ? 'ok' : 'FAILED',
  ]);
  process.stdout.write(`${textTable([['read', 'per read', 'counted', 'allowed', ''], ...cells])}\n`);
  return checks.every(([, , counted, { holds }]) => holds(counted));
}

function exactly(count: number) {
  return { allowed: String(count), holds: (counted: number) => counted === count };
}

function lessThan(bound: number) {
  return { allowed: `< ${bound}`, holds: (counted: number) => counted < bound };
}

function atLeast(count: number) {
  return { allowed: `≥ ${count}`, holds: (counted: number) => counted >= count };
}

/** Average operations per read. */
interface ReadCost {
  readonly roundTrips: number;
  readonly leases: number;
  readonly timers: number;
}

interface ReadCosts {
  /** The token is in memory. */
  readonly warm: ReadCost;
  /** The token is only in Redis, and the session is new. */
  readonly first: ReadCost;
  /** There is no token, so the broker logs in. */
  readonly login: ReadCost;
}

/** Counts the operations of reads, on a service in this process with a new Redis and a vendor simulator. */
async function readCosts(): Promise<ReadCosts> {
  const redis = await startRedis();
  const vendor = await startVendorSimulator();
  const sessions = new BenchSessions();
  const env = { ...brokerEnvironment, ...sessions.env, REDIS_URL: redis.url, VENDOR_BASE_URL: vendor.url };
  const commands = await CommandLog.open(redis.url);
  const timers = new TimerCount();
  const config = loadConfig({ ...env, HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'error' });
  const service = await startService(config, createLogger(config.logLevel), 'smoke');
  const app = new OneConnection(service.url);
  const withSession = (subject: BenchSubject) => ({ ...subject, session: sessions.of(subject) });
  const costOf = async (reads: readonly ReturnType<typeof withSession>[]): Promise<ReadCost> => {
    const timersBefore = timers.created;
    const seen = await commands.during(async () => {
      for (const { uniqueId, session } of reads) await app.getToken(uniqueId, session);
    });
    return {
      roundTrips: seen.length / reads.length,
      leases: seen.filter(usesLease).length / reads.length,
      timers: (timers.created - timersBefore) / reads.length,
    };
  };
  try {
    const [known, ...stored] = newSubjects(1 + READS) as [BenchSubject, ...BenchSubject[]];
    await fillBrokerStore(redis.url, [known, ...stored]);
    const warm = withSession(known);
    await app.getToken(warm.uniqueId, warm.session);
    return {
      warm: await costOf(Array.from({ length: READS }, () => warm)),
      first: await costOf(stored.map(withSession)),
      login: await costOf(newSubjects(1).map(withSession)),
    };
  } finally {
    app.close();
    commands.close();
    await service.close();
    await Promise.all([vendor.close(), redis.stop()]);
  }
}

/** An app that sends one request after the other on a single keep-alive connection. */
class OneConnection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /** @throws Error if the answer is not a token */
  async getToken(uniqueId: string, session: string): Promise<void> {
    const headers = { authorization: `Bearer ${session}` };
    const outgoing = request(`${this.#url}/sdk-token?uniqueId=${uniqueId}`, { agent: this.#agent, headers }).end();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    const body = await text(answer);
    if (answer.statusCode !== 200) throw new Error(`the answer is not a token, but ${answer.statusCode}: ${body}`);
  }

  close(): void {
    this.#agent.destroy();
  }
}
