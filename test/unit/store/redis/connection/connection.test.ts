import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { RedisCommands } from '../../../../../src/store/redis/connection/commands.ts';
import { storeUnavailable } from '../../../../../src/store/redis/connection/connection.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { BrokerError } from '../../../../../src/token/errors.ts';
import { eventually } from '../../../../support/eventually.ts';
import { startFaultProxy } from '../../../../support/fault-proxy.ts';
import { freePort } from '../../../../support/free-port.ts';
import { redisClient } from '../../../../support/redis-client.ts';
import { openCommands } from '../../../../support/redis-connections.ts';
import { askRedis, startRedis } from '../../../../support/redis-server.ts';
import { silentObserver } from '../../../../support/silent-observer.ts';

const ARGUMENT = 'argument-canary';
const PASSWORD = 'password-canary';
const MOST_MS = 500;

type Open = ReturnType<typeof open>;

function open(url: string) {
  const { commands: redis, log } = openCommands(url);
  return { redis, commands: new RedisCommands(redis, systemClock, silentObserver), log };
}

async function failureOf(command: Promise<unknown>): Promise<unknown> {
  const failure = await command.then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  if (!failure) throw new Error('the command did not fail');
  return failure.error;
}

/** Every property of an error, also the hidden ones. */
function shown(error: unknown): string {
  return inspect(error, { depth: 20, showHidden: true });
}

const hasWorked = ({ redis }: Open) => eventually(() => redis.ping().then(() => true));

/**
 * Both kinds of command fail with the right error in time. Only the fastest of five counts, as the machine may be busy.
 */
async function expectUnavailable({ commands }: Open): Promise<void> {
  const kinds = [
    () => commands.run('key', (redis) => redis.hget('key', ARGUMENT)),
    () => commands.script('markRead', ['key'], [ARGUMENT, 1]),
  ];
  for (const command of kinds) {
    const tookMs: number[] = [];
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const startedAt = performance.now();
      const error = await failureOf(command());
      tookMs.push(performance.now() - startedAt);
      expect(error).toBeInstanceOf(BrokerError);
      expect(error).toMatchObject({ code: 'store_unavailable', retryAfter: 1, detail: undefined });
      expect(shown(error)).not.toMatch(/canary/);
    }
    expect(Math.min(...tookMs)).toBeLessThan(MOST_MS);
  }
}

test('a connection goes on although ioredis has given up, as it does if a failover is announced while it asks a Sentinel', async () => {
  const server = await startRedis();
  const opened = open(server.url);
  await hasWorked(opened);
  const { connector } = opened.redis as unknown as { connector: { disconnect(): void } };
  let times = 0;
  opened.redis.on('connecting', () => {
    times += 1;
    if (times <= 2) connector.disconnect();
  });
  const ended = new Promise((resolve) => opened.redis.once('end', resolve));
  opened.redis.disconnect(true);
  await ended;
  await hasWorked(opened);
  expect(times).toBeGreaterThan(2);
  opened.redis.disconnect();
  await new Promise((resolve) => opened.redis.once('end', resolve));
  await sleep(100);
  expect(opened.redis.status).toBe('end');
});

describe('a command', () => {
  test('to an unreachable Redis fails and is not sent later; a new one works once Redis is reachable', async () => {
    const port = await freePort();
    const connection = open(`redis://:${PASSWORD}@127.0.0.1:${port}`);
    await eventually(() => connection.log.some((line) => line.includes('ECONNREFUSED')));
    await expectUnavailable(connection);
    const failed = storeUnavailable(await failureOf(connection.redis.set('late', ARGUMENT)));
    expect(failed).toMatchObject({ code: 'store_unavailable' });
    await startRedis({ port, args: ['--requirepass', PASSWORD] });
    await hasWorked(connection);
    expect(await connection.redis.exists('late')).toBe(0);
    expect(connection.log.join('\n')).toContain('connected to Redis');
    expect(connection.log.join('\n')).not.toContain('canary');
  });

  test('to Sentinels that cannot be reached fails, also before a connection to any Redis was tried', async () => {
    const connection = open(`redis-sentinel://127.0.0.1:${await freePort()}/master`);
    await expectUnavailable(connection);
    await eventually(() => connection.log.length > 1);
    for (const line of connection.log) expect(line).toContain('failed to connect to sentinel 127.0.0.1');
  });

  test('to a killed Redis fails at once, and works when Redis is back without its scripts', async () => {
    const server = await startRedis();
    const connection = open(server.url);
    await hasWorked(connection);
    await connection.commands.script('markRead', ['key'], ['terminal', 1]);
    await server.kill();
    await expectUnavailable(connection);
    await server.restart();
    await hasWorked(connection);
    expect(await connection.commands.script('claimDue', ['due'], [1_000, 1, '^'])).toEqual([[-1, 0, 0, 0]]);
  });

  test('to a Redis that hangs fails in time, and works when Redis goes on', async () => {
    const server = await startRedis();
    const connection = open(server.url);
    await hasWorked(connection);
    server.pause();
    await expectUnavailable(connection);
    const { commands } = connection;
    const failing = { failingSince: expect.any(Number) };
    expect([commands.contact, commands.outage()]).toMatchObject([failing, failing]);
    server.resume();
    await hasWorked(connection);
    await eventually(() => commands.ping().then(() => true));
    expect(commands.contact.failingSince).toBeUndefined();
    expect(commands.outage()).toBeUndefined();
  });

  test('to a Redis that hung before the connection fails in time, and works when Redis goes on', async () => {
    const server = await startRedis();
    server.pause();
    const connection = open(server.url);
    await expectUnavailable(connection);
    await eventually(() => connection.log.length > 0);
    await expectUnavailable(connection);
    server.resume();
    await hasWorked(connection);
  });

  test('to a Redis that requires a password fails at once, and works when Redis requires none', async () => {
    const server = await startRedis({ args: ['--requirepass', 'another'] });
    const connection = open(server.url);
    await eventually(() => connection.log.some((line) => line.includes('NOAUTH')));
    await expectUnavailable(connection);
    const operator = new Redis(`redis://:another@127.0.0.1:${server.port}`);
    onTestFinished(() => operator.disconnect());
    await operator.config('SET', 'requirepass', '');
    await hasWorked(connection);
  });

  test('to a Redis with another password fails at once, and the password is not logged', async () => {
    const server = await startRedis({ args: ['--requirepass', 'another'] });
    const connection = open(`redis://:${PASSWORD}@127.0.0.1:${server.port}`);
    await eventually(() => connection.log.some((line) => line.includes('WRONGPASS')));
    await expectUnavailable(connection);
    expect(connection.log.join('\n')).not.toContain('canary');
  });
});

describe('an error of Redis', () => {
  async function refusals(): Promise<(() => Promise<unknown>)[]> {
    const { redis } = open(inject('redisUrl'));
    await eventually(() => redis.status === 'ready');
    const key = `connection-${randomUUID()}`;
    await redis.set(key, ARGUMENT, 'PX', 60_000);
    return [
      () => redis.hget(key, ARGUMENT),
      () => redis.call(ARGUMENT, ARGUMENT),
      () => redis.call('NO-SUCH-COMMAND', ARGUMENT, `${ARGUMENT}'2`),
      () => redis.call('OBJECT', ARGUMENT, ARGUMENT),
      () => redis.call('SET', key, ARGUMENT, ARGUMENT),
      () => redis.eval(`return redis.call('HGET', KEYS[1], ARGV[1])`, 1, key, ARGUMENT),
      () => redis.eval('return ARGV[1] + 1', 1, key, ARGUMENT),
    ];
  }

  test('shows no argument of its command', async () => {
    for (const refused of await refusals()) {
      expect(shown(await failureOf(refused()))).toContain(ARGUMENT);
      const error = storeUnavailable(await failureOf(refused()));
      expect(error).toBeInstanceOf(BrokerError);
      expect(shown(error)).not.toContain(ARGUMENT);
      expect(shown(error)).toMatch(/ReplyError/);
    }
  });

  test('about a key without access rights does not show the key', async () => {
    const server = await startRedis();
    const operator = redisClient(server.url);
    await operator.call('ACL', 'SETUSER', 'broker', 'on', '>secret', '~allowed:*', '&*', '+@all');
    const { redis, commands } = open(`redis://broker:secret@127.0.0.1:${server.port}`);
    await eventually(() => redis.status === 'ready');
    const error = await failureOf(commands.script('markRead', ['key-canary'], [ARGUMENT, 1]));
    expect(error).toMatchObject({ code: 'store_unavailable' });
    expect(shown(error)).toContain('NOPERM');
    expect(shown(error)).not.toContain('canary');
  });

  test('that refuses a write does not say that Redis cannot be reached', async () => {
    const server = await startRedis();
    const opened = open(server.url);
    await hasWorked(opened);
    await askRedis(server, (client) => client.config('SET', 'maxmemory', '1'));
    const error = await failureOf(opened.commands.run('key', (redis) => redis.set('key', ARGUMENT)));
    expect(shown(error)).toContain('The token store cannot be used');
    expect(shown(error)).toContain('OOM');
  });

  test('that is no Error object shows nothing of the thrown value', async () => {
    const error = storeUnavailable(ARGUMENT);
    expect(error).toMatchObject({ code: 'store_unavailable', cause: { message: 'unknown error' } });
    expect(shown(error)).not.toContain('canary');
  });
});

test('a command without an answer fails, although commands before and after it were answered', async () => {
  const opened = open(inject('redisUrl'));
  await hasWorked(opened);
  const { commands } = opened;
  const answered = () => commands.run('key', (redis) => redis.ping());
  const unanswered = () => failureOf(commands.run('key', () => new Promise<never>(() => undefined)));
  const sent = [answered(), unanswered(), answered(), unanswered(), answered()];
  // This one is sent 50 ms later, so it also ends later.
  const later = sleep(50).then(unanswered);
  const [first, second, third, fourth, fifth] = await Promise.all(sent);
  expect([first, third, fifth]).toEqual(['PONG', 'PONG', 'PONG']);
  for (const failure of [second, fourth, await later]) expect(failure).toMatchObject({ code: 'store_unavailable' });
});

describe('an address whose server is no master any more', () => {
  // A managed Redis or a DNS failover changes what the address leads to, often long after the demotion.
  test('is asked again every 5 s, without a line each time, so that writes work soon after it leads to the new master', {
    timeout: 90_000,
  }, async () => {
    const [demoted, master] = await Promise.all([startRedis(), startRedis()]);
    const proxy = await startFaultProxy(demoted.port);
    const { redis, log } = open(`redis://127.0.0.1:${proxy.port}`);
    let connections = 0;
    redis.on('ready', () => {
      connections += 1;
    });
    await eventually(() => redis.set('key', 'before'));
    await askRedis(demoted, async (client) => client.replicaof('127.0.0.1', await freePort()));
    // The first refusal reconnects at once.
    const write = () => redis.set('key', 'after').then(Boolean, () => false);
    await eventually(async () => expect([await write(), connections]).toEqual([false, 4]), {
      timeoutMs: 60_000,
      everyMs: 100,
    });
    const movedAt = performance.now();
    proxy.leadTo(master.port);
    await eventually(async () => expect(await write()).toBe(true), { timeoutMs: 60_000, everyMs: 100 });
    expect(performance.now() - movedAt).toBeLessThan(12_000);
    expect(log).toEqual([expect.stringContaining('connected to Redis')]);
  });
});

describe('a stall of this process is no timeout', () => {
  /** Twice the timeout of a command. */
  function stall(): void {
    const until = performance.now() + 400;
    while (performance.now() < until);
  }

  test('if it begins right after the command, before it was written to the socket', async () => {
    const opened = open(inject('redisUrl'));
    await hasWorked(opened);
    for (let round = 0; round < 3; round += 1) {
      const answers = [1, 2, 3].map(() => opened.commands.run('key', (redis) => redis.ping()));
      stall();
      expect(await Promise.all(answers)).toEqual(['PONG', 'PONG', 'PONG']);
    }
    expect(opened.commands.contact).toMatchObject({ lastFailure: undefined });
  });

  test('but a Redis that hangs as long beside it is one', async () => {
    const server = await startRedis();
    const opened = open(server.url);
    await hasWorked(opened);
    server.pause();
    onTestFinished(() => server.resume());
    const startedAt = performance.now();
    const failure = failureOf(opened.commands.run('key', (redis) => redis.ping()));
    stall();
    expect(await failure).toMatchObject({ code: 'store_unavailable' });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

test.each([1, 16])('answers of 8 MB in all, each of 2 kB, %i at a time, do not end the connection', async (atOnce) => {
  const opened = open((await startRedis()).url);
  await hasWorked(opened);
  const value = 'x'.repeat(2_000);
  await opened.redis.set('key', value);
  for (let round = 0; round < 4_000 / atOnce; round += 1) {
    const answers = await Promise.all(Array.from({ length: atOnce }, () => opened.redis.get('key')));
    expect(new Set(answers)).toEqual(new Set([value]));
  }
  expect(opened.log).toEqual([expect.stringContaining('connected to Redis')]);
});
