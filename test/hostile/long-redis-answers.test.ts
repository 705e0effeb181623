import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { Keys } from '../../src/store/redis/keys.ts';
import { ACCOUNT_FIELDS, HEADER_LENGTH } from '../../src/store/redis/records/record-codec.ts';
import { accountId, subjectId, terminalOf } from '../../src/token/subject.ts';
import type { BrokerProcess } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';
import { plainRequest } from '../support/plain-request.ts';
import { startRedis } from '../support/redis-server.ts';

const MAX_GROWTH_MB = 80;
const KNOWN = Array.from({ length: 10 }, (_, number) => `known-${number}`);
const ADMIN_TOKEN = 'admin-token-'.repeat(3);
/** The account that somebody writes to. */
const VICTIM = 'victim';

/** The resident memory of the process, and the most since the last {@link forgetPeak}, in MB. */
function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const [now = 0, peak = 0] = ['VmRSS', 'VmHWM'].map((name) =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]),
  );
  return { now: now / 1_024, peak: peak / 1_024 };
}

function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Expects that the process grew by no more than the bound. `npm run hostile` prints by how much. */
function expectGrowth(megabytes: number): void {
  if (process.env['HOSTILE_TIMES']) process.stdout.write(`${megabytes.toFixed(0)} MB more at most\n`);
  expect(megabytes).toBeLessThan(MAX_GROWTH_MB);
}

async function openFleet(encryption: Readonly<Record<string, string>>) {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const env = { REDIS_URL: server.url, ADMIN_TOKEN, ...encryption };
  const fleet = await startFleet({ replicas: 1, env });
  onTestFinished(() => fleet.close());
  const redis = new Redis(server.url);
  onTestFinished(() => redis.disconnect());
  const broker = fleet.broker(0);
  const sessions = await Promise.all([VICTIM, ...KNOWN].map((unionId) => fleet.session(unionId)));
  // A process that has just started grows without an attack too.
  for (let round = 0; round < 20; round += 1) {
    for (const session of sessions) expect((await broker.getToken(session, 'phone')).status).toBe(200);
  }
  const [victim = '', ...known] = sessions;
  return { redis, broker, victim, known, keys: new Keys(fleet.keyPrefix) };
}

const ACCOUNT = accountId(VICTIM);
/** A terminal that this replica does not know, so that it asks Redis. */
const OTHER = subjectId({ app: 'default', unionId: VICTIM, uniqueId: 'tablet' });

interface Attack {
  readonly what: string;
  /** A Lua script, what it writes to and its argument. */
  readonly write: (keys: Keys) => readonly [lua: string, key: string, argument: string];
  /** Takes it back once the replica has met it. @param written the result of the script */
  readonly undo?: (redis: Redis, key: string, written: unknown) => Promise<unknown>;
}

const LONG = "string.rep('x', 2^26)";

const ATTACKS: readonly Attack[] = [
  {
    what: '64 MB in the record of a terminal',
    write: (keys) => [`redis.call('HSET', KEYS[1], ARGV[1], ${LONG})`, keys.account(ACCOUNT), terminalOf(OTHER)],
  },
  {
    what: '64 MB in the directory of an account',
    write: (keys) => [`redis.call('HSET', KEYS[1], ARGV[1], ${LONG})`, keys.account(ACCOUNT), ACCOUNT_FIELDS.directory],
  },
  {
    what: '64 MB in the time of an erasure',
    write: (keys) => [`redis.call('HSET', KEYS[1], ARGV[1], ${LONG})`, keys.account(ACCOUNT), ACCOUNT_FIELDS.erasedAt],
  },
  {
    what: '64 MB in the code of a cool-down',
    write: (keys) => [`redis.call('HSET', KEYS[1], ARGV[1], ${LONG})`, keys.failures(ACCOUNT), 'code'],
  },
  {
    what: 'a million terminals of one account',
    write: (keys) => [
      "for n = 1, 1e6 do redis.call('HSET', KEYS[1], string.format('%05x', n), '') end",
      keys.account(ACCOUNT),
      '',
    ],
  },
  {
    what: '64 MB as the owner of a lease',
    write: (keys) => [`redis.call('SET', KEYS[1], ${LONG}, 'PX', 5000)`, keys.lease(OTHER), ''],
  },
  {
    what: '64 MB in the stream of changes',
    write: (keys) => [`return redis.call('XADD', KEYS[1], '*', 'c', ${LONG})`, keys.changesOf(ACCOUNT), ''],
    // Each heartbeat copies it inside Redis, which then has no time for others on a busy machine.
    undo: async (redis, key, written) => {
      const beats = async () => Number(/xrevrange:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
      const before = await beats();
      await eventually(async () => (await beats()) >= before + 3, { timeoutMs: 30_000 });
      await redis.xdel(key, String(written));
    },
  },
  {
    what: 'an announcement of 64 MB',
    write: (keys) => [`redis.call('PUBLISH', KEYS[1], ${LONG})`, keys.announcements, ''],
  },
];

function accountAt(broker: BrokerProcess, path = '', method = 'GET') {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
  return plainRequest(`${broker.adminUrl}/accounts/${path}`, { headers, method });
}

/** Asks for everything that the broker reads about the account. */
async function askAbout(broker: BrokerProcess, session: string): Promise<void> {
  await broker.getToken(session, 'tablet');
  await accountAt(broker, VICTIM);
  await accountAt(broker, `${VICTIM}/access-id`, 'PUT');
}

test.runIf(existsSync('/proc/self/clear_refs')).each(ATTACKS)(
  'whoever can write to Redis cannot fill the memory of a replica: $what',
  { timeout: 90_000 },
  async ({ write, undo }) => {
    const { redis, broker, victim, known, keys } = await openFleet({});
    const [lua, key, argument] = write(keys);
    const before = memoryOf(broker.pid);
    forgetPeak(broker.pid);
    await readDuring(broker, known, async () => {
      const written = await redis.eval(lua, 1, key, argument);
      await undo?.(redis, key, written);
      // Meanwhile Redis has answered nobody.
      await eventually(async () => (await accountAt(broker, KNOWN[0])).status === 200, { timeoutMs: 30_000 });
      for (let round = 0; round < 3; round += 1) await askAbout(broker, victim);
    });
    expectGrowth(memoryOf(broker.pid).peak - before.now);
    expect((await broker.getToken(victim, 'phone')).status).toBe(200);
  },
);

test.runIf(existsSync('/proc/self/clear_refs'))(
  'an account with more terminals than a support request shows does not fill the memory either',
  { timeout: 60_000 },
  async () => {
    const { redis, broker, known, keys } = await openFleet({});
    const lua = "for n = 1, 100000 do redis.call('HSET', KEYS[1], string.format('%05x', n), '') end";
    await redis.eval(lua, 1, keys.account(ACCOUNT));
    const before = memoryOf(broker.pid);
    forgetPeak(broker.pid);
    for (let round = 0; round < 5; round += 1) {
      // On a busy machine, Redis may not answer in time.
      await eventually(async () => [200, 404].includes((await accountAt(broker, VICTIM)).status));
      for (const session of known) expect((await broker.getToken(session, 'phone')).status).toBe(200);
    }
    expectGrowth(memoryOf(broker.pid).peak - before.now);
  },
);

test.runIf(existsSync('/proc/self/clear_refs'))(
  'a record in the clear that takes thirty times its length once it is parsed is no record',
  { timeout: 60_000 },
  async () => {
    const { redis, broker, victim, known, keys } = await openFleet({ TOKEN_ENCRYPTION_KEYS: 'off' });
    const key = keys.account(ACCOUNT);
    const phone = terminalOf(subjectId({ app: 'default', unionId: VICTIM, uniqueId: 'phone' }));
    const stored = await redis.hgetBuffer(key, phone);
    const header = stored?.subarray(0, HEADER_LENGTH + 1) ?? Buffer.alloc(0);
    const record = Buffer.concat([header, Buffer.from(`[${'{},'.repeat(1_100_000)}{}]`)]);
    await redis.hset(key, terminalOf(OTHER), record);
    const before = memoryOf(broker.pid);
    forgetPeak(broker.pid);
    await readDuring(broker, known, async () => {
      const answer = await broker.getToken(victim, 'tablet');
      expect(answer.status, answer.body).toBe(200);
    });
    expectGrowth(memoryOf(broker.pid).peak - before.now);
  },
);
