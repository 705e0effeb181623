import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, inject, test } from 'vitest';
import { RedisCommands, serverClocks } from '../../../../../src/store/redis/connection/commands.ts';
import { Keys } from '../../../../../src/store/redis/keys.ts';
import { runScript, type ScriptCall } from '../../../../../src/store/redis/lua-scripts.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { accountId, accountOf, subjectId, terminalOf } from '../../../../../src/token/subject.ts';
import { eventually } from '../../../../support/eventually.ts';
import { openRedisStore, saveToken } from '../../../../support/filled-store.ts';
import { madeUpRecord } from '../../../../support/made-up-tokens.ts';
import { redisClient } from '../../../../support/redis-client.ts';
import { openCommands } from '../../../../support/redis-connections.ts';
import { startRedis } from '../../../../support/redis-server.ts';
import { granted, openRedisState, restored, scriptCalls } from '../../../../support/redis-state.ts';
import { silentObserver } from '../../../../support/silent-observer.ts';
import { TestClock } from '../../../../support/test-clock.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const ACCOUNT = accountOf(ID);
const PACE = { intervalMs: 1_000, burst: 1 };

/** Every value under the prefix, and none that expires by itself meanwhile. */
async function contents(redis: Redis, keys: Keys): Promise<ReadonlyMap<string, string>> {
  const [prefix = ''] = keys.probe(0).split(':');
  const found = new Map<string, string>();
  for (const key of (await redis.keys(`${prefix}:*`)).sort()) {
    found.set(key, (await redis.dumpBuffer(key))?.toString('base64') ?? '');
  }
  return found;
}

/** The scripts that must not be executed late. */
function unfencedCalls(keys: Keys): readonly ScriptCall[] {
  const ofAccount = [keys.account(ACCOUNT), keys.dueOf(ACCOUNT)];
  const calls = scriptCalls(keys, ID);
  return [
    calls.acquire('owner'),
    calls.remove(),
    calls.erase(),
    ['claimDue', [keys.dueOf(ACCOUNT)], [2_000, 10, '^']],
    ['markRead', ofAccount, [terminalOf(ID), 1, ID, 1_000]],
    ['take', [keys.rate('logins')], [1_000, 5]],
    ['reserve', [keys.loginQueue, keys.recentLogin(ACCOUNT)], [1_000, 1, 'foreground', 10_000]],
    ['forgetDirectory', [keys.account(ACCOUNT)], []],
  ];
}

describe('a script that arrives after its deadline', () => {
  test('changes nothing, and shows the time of Redis', async () => {
    const { store, redis, keys, setDue } = await openRedisState();
    await restored(store, { subject: SUBJECT });
    await setDue(ID, 0);
    const before = await contents(redis as Redis, keys);
    for (const call of unfencedCalls(keys)) {
      const late = runScript(redis, call, systemClock.now() - 100);
      await expect(late, call[0]).rejects.toThrow(/^LATE \d{13}/);
      const time = await late.catch((error: Error) => Number(error.message.slice(5).split(' ')[0]));
      expect(Math.abs(Number(time) - systemClock.now())).toBeLessThan(1_000);
    }
    expect(await contents(redis as Redis, keys)).toEqual(before);
  });
});

test('a command that timed out while Redis hung is not executed later, unless a generation or an owner fences it', async () => {
  const server = await startRedis();
  const keyPrefix = `late-${randomUUID()}`;
  const store = await openRedisStore(server.url, keyPrefix, [], {});
  const admin = redisClient(server.url);
  const { terminals, accounts, rateLimiter, loginQueue } = store;
  const subjectOf = (unionId: string) => ({ ...SUBJECT, unionId });
  const idOf = (unionId: string) => subjectId(subjectOf(unionId));
  for (const unionId of ['logged-out', 'erased']) await saveToken(store, subjectOf(unionId));
  const saved = await granted(store, idOf('saved'));
  const released = await granted(store, idOf('released'), 60_000);
  const record = { ...madeUpRecord(subjectOf('saved')), generation: saved.generation, answeredAt: saved.generation };
  await eventually(() => expect(terminals.clockFor(ID)).toBeDefined());
  // Each script is known to Redis, so that it is sent once.
  await rateLimiter.take('warm', 1_000, 5);
  await terminals.remove(idOf('warm'));
  await accounts.erase('warm');
  await loginQueue.reserve(PACE, 'foreground', accountId('warm'));
  await admin.del(new Keys(keyPrefix).loginQueue);

  await admin.call('CLIENT', 'PAUSE', '800', 'ALL');
  const given = await Promise.allSettled([
    terminals.remove(idOf('logged-out')),
    accounts.erase('erased'),
    terminals.acquire(idOf('acquired'), 60_000),
    rateLimiter.take('taken', 60_000, 1),
    loginQueue.reserve(PACE, 'foreground', accountId('reserved')),
    terminals.save(saved, record, systemClock.now() + 60_000),
    terminals.release(released, undefined),
  ]);
  for (const outcome of given)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'store_unavailable' } });
  // Redis executes what it has received, in order, when it goes on.
  await admin.ping();
  await eventually(() => store.health.ping().then(() => true));
  expect((await terminals.read(idOf('logged-out'))).record).toBeDefined();
  expect(await terminals.read(idOf('erased'))).toMatchObject({ record: expect.anything(), erasedAt: undefined });
  expect((await terminals.acquire(idOf('acquired'), 1_000)).kind).toBe('granted');
  expect(await rateLimiter.take('taken', 60_000, 1)).toBe(0);
  expect(await loginQueue.nextPlaceInMs()).toBeUndefined();
  expect((await terminals.read(idOf('saved'))).record).toEqual(record);
  expect((await terminals.acquire(idOf('released'), 1_000)).kind).toBe('granted');
  // Nothing repeats a script whose caller has given up.
  const executed = async () => Number(/total_commands_processed:(\d+)/.exec(await admin.info('stats'))?.[1]);
  const before = await executed();
  await sleep(100);
  expect((await executed()) - before).toBeLessThan(50);
});

describe('a caller that still waits when its script was refused as late', () => {
  async function openRate() {
    const { commands: redis, keys } = openCommands(inject('redisUrl'));
    await eventually(() => redis.ping().then(() => true));
    return { redis, commands: new RedisCommands(redis, systemClock, silentObserver), key: keys.rate('x') };
  }

  test('gets the answer of a repetition, and the reading of the clock is right from then on', async () => {
    const { commands, key } = await openRate();
    // As if the clock of Redis had been set forward by an hour since it was read.
    commands.clocks.note('', systemClock.now() - 3_600_000, systemClock.monotonic());
    expect(await commands.script('take', [key], [60_000, 2])).toBe(0);
    expect(Math.abs((commands.clocks.now('') ?? 0) - systemClock.now())).toBeLessThan(1_000);
    // The first try has taken no permit.
    expect(await commands.script('take', [key], [60_000, 2])).toBe(0);
    expect(await commands.script('take', [key], [60_000, 2])).toBeGreaterThan(0);
  });

  test('gets the answer also if this process stood still before it sent the script', async () => {
    const { commands, key } = await openRate();
    commands.clocks.note('', systemClock.now(), systemClock.monotonic());
    const taken = commands.script('take', [key], [60_000, 1]);
    const until = performance.now() + 400;
    while (performance.now() < until);
    expect(await taken).toBe(0);
    expect(await commands.script('take', [key], [60_000, 1])).toBeGreaterThan(0);
  });

  test('gets the answer also if the refusal is read late, so that the repetition is late too', async () => {
    const { commands, key } = await openRate();
    // As if the first answer of Redis had been read so late that the first try is refused.
    commands.clocks.note('', systemClock.now() - 300, systemClock.monotonic());
    const taken = commands.script('take', [key], [60_000, 1]);
    // The script is sent after this turn of the event loop.
    await nextTurn();
    await nextTurn();
    const until = performance.now() + 250;
    while (performance.now() < until);
    expect(await taken).toBe(0);
    expect(await commands.script('take', [key], [60_000, 1])).toBeGreaterThan(0);
  });

  test('keeps the reading of the clock when an answer of Redis has no time', async () => {
    const { commands } = await openRate();
    commands.clocks.note('', Number.NaN, systemClock.monotonic());
    expect(commands.clocks.now('')).toBeUndefined();
    await commands.ping();
    commands.clocks.note('', Number.NaN, systemClock.monotonic());
    expect(Math.abs((commands.clocks.now('') ?? 0) - systemClock.now())).toBeLessThan(1_000);
  });

  test('sends no deadline before it knows the clock of Redis', async () => {
    const { redis, commands, key } = await openRate();
    expect(commands.clocks.now('')).toBeUndefined();
    expect(await commands.script('take', [key], [60_000, 1])).toBe(0);
    expect(await redis.exists(key)).toBe(1);
  });

  test('knows the clock of Redis from a ping on, which stands in for the servers that have not answered', async () => {
    const { commands } = await openRate();
    await commands.ping();
    for (const part of ['', '{7}']) {
      expect(Math.abs((commands.clocks.now(part) ?? 0) - systemClock.now())).toBeLessThan(1_000);
    }
    commands.clocks.note('{7}', 1_700_000_000_000, systemClock.monotonic());
    expect((commands.clocks.now('{7}') ?? 0) - 1_700_000_000_000).toBeLessThan(1_000);
    expect(Math.abs((commands.clocks.now('') ?? 0) - systemClock.now())).toBeLessThan(1_000);
  });
});

test('the clock of Redis stays right when an answer is read late, and follows when it is set back', () => {
  const clock = new TestClock();
  const clocks = serverClocks(clock);
  clocks.note('', 10_000, clock.monotonic());
  const askedAt = clock.monotonic();
  clock.advance(500);
  clocks.note('', 10_000, askedAt);
  expect(clocks.now('')).toBe(10_500);
  clocks.note('', 9_000, clock.monotonic());
  expect(clocks.now('')).toBe(9_000);
});
