import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Keys } from '../../src/store/redis/keys.ts';
import { ACCOUNT_FIELDS, HEADER_LENGTH } from '../../src/store/redis/records/record-codec.ts';
import { type AccountId, accountId, subjectId, terminalOf } from '../../src/token/subject.ts';
import type { BrokerProcess } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { canMeasureGrowth, expectGrowthBelow } from './memory-growth.ts';

const MAX_GROWTH_MB = 80;
const KNOWN = Array.from({ length: 10 }, (_, number) => `known-${number}`);

let server: RedisServer;
let redis: Redis;
let fleet: Fleet;
let broker: BrokerProcess;
let keys: Keys;
let known: readonly string[];

/** An account that somebody writes to. The replica knows its phone, and asks Redis for its tablet. */
async function newVictim() {
  const unionId = `victim-${randomUUID()}`;
  const session = await fleet.session(unionId);
  expect((await broker.getToken(session, 'phone')).status).toBe(200);
  const idOf = (uniqueId: string) => subjectId({ app: 'default', unionId, uniqueId });
  const account = accountId(unionId);
  // The attack before may have ended the connection, so that the token is stored later.
  await eventually(async () => (await redis.exists(keys.account(account))) === 1);
  onTestFinished(async () => void (await redis.unlink(keys.account(account), keys.failures(account))));
  return { unionId, session, account, phone: idOf('phone'), tablet: idOf('tablet') };
}

type Victim = Awaited<ReturnType<typeof newVictim>>;

interface Attack {
  readonly what: string;
  /** A Lua script, what it writes to and its argument. */
  readonly write: (victim: Victim) => readonly [lua: string, key: string, argument: string];
  /** Takes it back once the replica has met it. @param written the result of the script */
  readonly undo?: (key: string, written: unknown) => Promise<unknown>;
}

const LONG = "string.rep('x', 48 * 2^20)";
const LONG_FIELD = `redis.call('HSET', KEYS[1], ARGV[1], ${LONG})`;
const long = (account: AccountId, field: string) => [LONG_FIELD, keys.account(account), field] as const;

const ATTACKS: readonly Attack[] = [
  { what: '48 MB in the record of a terminal', write: ({ account, tablet }) => long(account, terminalOf(tablet)) },
  { what: '48 MB in the directory of an account', write: ({ account }) => long(account, ACCOUNT_FIELDS.directory) },
  { what: '48 MB in the time of an erasure', write: ({ account }) => long(account, ACCOUNT_FIELDS.erasedAt) },
  {
    what: '48 MB in the code of a cool-down',
    write: ({ account }) => [LONG_FIELD, keys.failures(account), 'code'],
  },
  {
    what: '400,000 terminals of one account',
    write: ({ account }) => [
      "for n = 1, 4e5 do redis.call('HSET', KEYS[1], string.format('%05x', n), '') end",
      keys.account(account),
      '',
    ],
  },
  {
    what: '48 MB as the owner of a lease',
    write: ({ tablet }) => [`redis.call('SET', KEYS[1], ${LONG}, 'PX', 5000)`, keys.lease(tablet), ''],
  },
  {
    what: '48 MB in the stream of changes',
    write: ({ account }) => [`return redis.call('XADD', KEYS[1], '*', 'c', ${LONG})`, keys.changesOf(account), ''],
    // Each heartbeat copies it inside Redis, which then has no time for others on a busy machine.
    undo: async (key, written) => {
      const beats = async () => Number(/xrevrange:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
      const before = await beats();
      await eventually(async () => (await beats()) >= before + 2);
      await redis.xdel(key, String(written));
    },
  },
  {
    what: 'an announcement of 48 MB',
    write: () => [`redis.call('PUBLISH', KEYS[1], ${LONG})`, keys.announcements, ''],
  },
];

function accountAt(path = '', method = 'GET') {
  return askInternal(broker, `${method} /accounts/${path}`);
}

/** Resolves when Redis answers the replica again: a long value keeps it busy, or has ended the connection. */
async function redisAnswers(): Promise<void> {
  await eventually(async () => (await accountAt(KNOWN[0])).status === 200);
}

/** Asks for everything that the broker reads about the account. */
async function askAbout({ unionId, session }: Victim): Promise<void> {
  const asks = [
    () => accountAt(unionId),
    () => accountAt(`${unionId}/access-id`, 'PUT'),
    // Last, because the broker tries to store the new token again and again.
    () => broker.getToken(session, 'tablet'),
  ];
  for (const ask of asks) {
    await redisAnswers();
    await ask();
  }
}

describe.runIf(canMeasureGrowth)('data of others in Redis', () => {
  beforeAll(async () => {
    // On a busy machine, a script that reads many terminals takes seconds. Redis then has no errors for others.
    server = await startRedis({ args: ['--lua-time-limit', '0'] });
    // Without encryption, the broker parses all that it reads.
    const env = { REDIS_URL: server.url, ADMIN_TOKEN, TOKEN_ENCRYPTION_KEYS: 'off' };
    fleet = await startFleet({ replicas: 1, env });
    redis = new Redis(server.url);
    broker = fleet.broker(0);
    keys = new Keys(fleet.keyPrefix);
    known = await Promise.all(KNOWN.map((unionId) => fleet.session(unionId)));
    // A process that has just started grows without an attack too.
    for (let round = 0; round < 20; round += 1) {
      for (const session of known) expect((await broker.getToken(session, 'phone')).status).toBe(200);
    }
  });
  afterAll(async () => {
    redis.disconnect();
    await fleet.close();
    await server.stop();
  });

  test.each(ATTACKS)('cannot fill the memory of a replica: $what', { timeout: 90_000 }, async ({ write, undo }) => {
    const victim = await newVictim();
    const [lua, key, argument] = write(victim);
    const attack = async () => {
      const written = await redis.eval(lua, 1, key, argument);
      await undo?.(key, written);
      await askAbout(victim);
    };
    await expectGrowthBelow(MAX_GROWTH_MB, broker, () => readDuring(broker, known, attack));
    expect((await broker.getToken(victim.session, 'phone')).status).toBe(200);
  });

  test('cannot keep Redis from other accounts, with a long directory of an account that logs in', async () => {
    const victim = await newVictim();
    const lua = "redis.call('HSET', KEYS[1], ARGV[1], string.rep('x', 3 * 2^20))";
    await redis.eval(lua, 1, keys.account(victim.account), ACCOUNT_FIELDS.directory);
    const served: boolean[] = [];
    for (let round = 0; round < 10; round += 1) {
      // After a command that was late on a busy machine, the broker asks Redis nothing for half a second.
      await redisAnswers();
      await broker.getToken(victim.session, randomUUID());
      served.push((await accountAt(KNOWN[0])).status === 200);
    }
    // On a busy machine, Redis may not answer each one in time.
    expect(served.filter(Boolean).length).toBeGreaterThan(5);
  });

  test('cannot fill the memory with more terminals than a support request shows', { timeout: 60_000 }, async () => {
    const { unionId, account } = await newVictim();
    const lua = "for n = 1, 100000 do redis.call('HSET', KEYS[1], string.format('%05x', n), '') end";
    await redis.eval(lua, 1, keys.account(account));
    await expectGrowthBelow(MAX_GROWTH_MB, broker, async () => {
      for (let round = 0; round < 5; round += 1) {
        // On a busy machine, Redis may not answer in time.
        await eventually(async () => [200, 404].includes((await accountAt(unionId)).status));
        for (const session of known) expect((await broker.getToken(session, 'phone')).status).toBe(200);
      }
    });
  });

  test('is no record if it takes thirty times its length once it is parsed', { timeout: 60_000 }, async () => {
    const { session, account, phone, tablet } = await newVictim();
    const stored = await redis.hgetBuffer(keys.account(account), terminalOf(phone));
    const header = stored?.subarray(0, HEADER_LENGTH + 1) ?? Buffer.alloc(0);
    const record = Buffer.concat([header, Buffer.from(`[${'{},'.repeat(690_000)}{}]`)]);
    await redis.hset(keys.account(account), terminalOf(tablet), record);
    const read = async () => {
      const answer = await broker.getToken(session, 'tablet');
      expect(answer.status, answer.body).toBe(200);
    };
    // Redis may send it: it has fewer than 2 MiB. Parsed, it would take 100 MB.
    await expectGrowthBelow(MAX_GROWTH_MB / 2, broker, () => readDuring(broker, known, read));
  });
});
