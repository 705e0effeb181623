import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { commandBreaker, redisErrorKind } from '../../../../../src/store/redis/connection/commands.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { subjectId } from '../../../../../src/token/subject.ts';
import { eventually } from '../../../../support/eventually.ts';
import { openRedisStore } from '../../../../support/filled-store.ts';
import { madeUpRecord } from '../../../../support/made-up-tokens.ts';
import { recordingObserver } from '../../../../support/recording-observer.ts';
import { redisClient } from '../../../../support/redis-client.ts';
import { startRedis } from '../../../../support/redis-server.ts';
import { granted } from '../../../../support/redis-state.ts';
import { TestClock } from '../../../../support/test-clock.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** A connected store on a Redis of its own, and the kinds of the errors since. */
async function openStore(options?: Parameters<typeof startRedis>[0]) {
  const server = await startRedis(options);
  const { observer, told } = recordingObserver();
  const ended: { readonly role?: string }[] = [];
  const log = { info: () => undefined, warn: (facts: object) => void ended.push(facts), error: () => undefined };
  const store = await openRedisStore(server.url, randomUUID(), [], { log, observer });
  // Redis answers in order: now it has also answered what the store asks after it has connected.
  await store.health.ping();
  const before = told('redisFailed').length;
  const kinds = () => told('redisFailed').slice(before).flat();
  /** Acquires a lease, which is a write. @returns whether that failed */
  const write = () =>
    store.terminals
      .acquire(ID, 1_000)
      .then(() => false)
      .catch(() => true);
  return { server, store, kinds, write, ended };
}

test('a Redis without free memory still knows that an account cools down', async () => {
  const { server, store } = await openStore();
  const redis = redisClient(server.url);
  await store.terminals.release(await granted(store, ID), undefined, { code: 'vendor_unavailable', waitMs: 60_000 });
  await redis.config('SET', 'maxmemory', '1');
  expect(await store.terminals.acquire(ID, 1_000)).toMatchObject({ kind: 'cooling', code: 'vendor_unavailable' });
});

test.each([
  ['run a script', 'eval', ['-eval', '-evalsha']],
  ['run a command in a script', 'zadd', ['-zadd']],
])('a missing right to %s is noperm, and the error names the command', async (_, command, rights) => {
  const { server, store, kinds } = await openStore();
  const redis = redisClient(server.url);
  const lease = await granted(store, ID);
  await redis.acl('SETUSER', 'default', ...rights);
  const record = { ...madeUpRecord(SUBJECT), generation: lease.generation };
  const saved = store.terminals.save(lease, record, systemClock.now());
  const error: Error = await saved.then(
    () => new Error('saved'),
    (failure) => failure.cause,
  );
  expect(error.message).toMatch(new RegExp(`'${command}\\w*' command`));
  expect(kinds()).toContain('noperm');
});

test('a Redis without free memory and a read-only replica have different kinds', async () => {
  const { server, kinds, write } = await openStore();
  const redis = redisClient(server.url);
  await redis.config('SET', 'maxmemory', '1');
  expect(await write()).toBe(true);
  expect(kinds()).toEqual(['oom']);
  await redis.config('SET', 'maxmemory', '0');
  await redis.config('SET', 'replica-serve-stale-data', 'yes');
  await redis.replicaof('127.0.0.1', 1);
  expect(await write()).toBe(true);
  expect(kinds()).toEqual(['oom', 'readonly']);
});

test('a master that has lost its replicas is read-only', async () => {
  const { server, kinds, write } = await openStore();
  const redis = redisClient(server.url);
  await redis.config('SET', 'min-replicas-to-write', '1');
  expect(await write()).toBe(true);
  expect(kinds()).toEqual(['readonly']);
});

test('a Redis that cannot save its data fails the ping, so that no new replica is ready', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'redis-'));
  const { server, store, kinds } = await openStore({ dir, args: ['--save', '3600 1'] });
  const redis = redisClient(server.url);
  await rm(dir, { recursive: true });
  await redis.bgsave();
  await eventually(async () => (await redis.info('persistence')).includes('rdb_last_bgsave_status:err'));
  await expect(store.health.ping()).rejects.toMatchObject({ code: 'store_unavailable' });
  expect(kinds()).toContain('misconf');
});

test('a store says that Redis is back as soon as a Redis that hung answers, also with the same connection', async () => {
  const { server, store, write } = await openStore();
  const returns: unknown[] = [];
  store.health.onReturn((history) => returns.push(history));
  server.pause();
  onTestFinished(() => server.resume());
  expect(await write()).toBe(true);
  server.resume();
  await eventually(async () => !(await write()));
  expect(returns).toEqual(['same']);
});

test('a Redis that hangs gets one command, then none for a while', async () => {
  const { server, kinds, write } = await openStore();
  server.pause();
  onTestFinished(() => server.resume());
  expect(await write()).toBe(true);
  expect(await write()).toBe(true);
  expect(kinds()).toEqual(['timeout', 'not_sent']);
});

test('a Redis that hangs for long, so that its connection ends, is a timeout and no connection error', async () => {
  const { server, kinds, write, ended } = await openStore();
  server.pause();
  onTestFinished(() => server.resume());
  const hasEnded = () => ended.some(({ role }) => role === 'commands');
  await eventually(async () => (await write()) && hasEnded());
  const sent = () => kinds().filter((kind) => kind !== 'not_sent').length;
  const before = sent();
  // Some of these find no connection, others one that does not answer.
  await eventually(async () => (await write()) && sent() > before + 5);
  expect(new Set(kinds())).toEqual(new Set(['timeout', 'not_sent']));
});

test('after a timeout, no command is sent for half a second, although the clock is set meanwhile', () => {
  const clock = new TestClock();
  const breaker = commandBreaker(clock);
  breaker.settle('timeout');
  clock.advance(499);
  expect(breaker.admit()).toBe(false);
  clock.advance(1);
  expect(breaker.admit()).toBe(true);
  breaker.settle('timeout');
  for (const ms of [-3_600_000, 7_200_000]) {
    clock.jump(ms);
    expect(breaker.admit()).toBe(false);
  }
  clock.advance(500);
  expect([breaker.admit(), breaker.admit()]).toEqual([true, false]);
});

test('a Redis that was killed is a connection error', async () => {
  const { server, kinds, write } = await openStore();
  await server.kill();
  await eventually(write);
  expect(await write()).toBe(true);
  expect(new Set(kinds())).toEqual(new Set(['connection']));
});

test('a Redis that loads its data, one that refuses a late script and one that refuses a command have different kinds', async () => {
  let reply = '-LOADING Redis is loading the dataset in memory\r\n';
  const server = createServer((socket) => socket.on('data', () => void socket.write(reply)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const redis = new Redis({ port, enableReadyCheck: false, disableClientInfo: true, protocol: 2 });
  onTestFinished(() => redis.disconnect());
  const kind = () => redis.get('key').then(() => undefined, redisErrorKind);
  expect(await kind()).toBe('loading');
  reply = '-LATE 1800000000000\r\n';
  expect(await kind()).toBe('timeout');
  reply = '-WRONGTYPE Operation against a key holding the wrong kind of value\r\n';
  expect(await kind()).toBe('other');
});

test('any other thrown value has the kind "other"', () => {
  for (const thrown of [new TypeError('OUT OF MEMORY'), 'READONLY', undefined, { code: 'ECONNREFUSED' }]) {
    expect(redisErrorKind(thrown)).toBe('other');
  }
});

test.each([
  "Stream isn't writeable and enableOfflineQueue options is false",
  'Command aborted due to connection close',
  'Failed to refresh slots cache.',
])('an error that ioredis itself raises is a connection error: %s', (message) => {
  expect(redisErrorKind(new Error(message))).toBe('connection');
});
