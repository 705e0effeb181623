import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, inject, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.ts';

const started: RedisServer[] = [];

async function start(...options: Parameters<typeof startRedis>): Promise<RedisServer> {
  const redis = await startRedis(...options);
  started.push(redis);
  return redis;
}

async function ask(url: string, command: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port || 6379) });
  try {
    await once(socket, 'connect');
    socket.write(`${command}\r\n`);
    const [answer] = await once(socket, 'data');
    return String(answer);
  } finally {
    socket.destroy();
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((redis) => redis.stop()));
});

it('every test is given the URL of a Redis', () => {
  expect(inject('redisUrl')).toMatch(/^rediss?:\/\/./);
});

it('a started Redis answers at once, as the process it says it is', async () => {
  const redis = await start();
  expect(await ask(redis.url, 'PING')).toBe('+PONG\r\n');
  expect(await ask(redis.url, 'INFO server')).toContain(`process_id:${redis.pid}\r\n`);
});

it('two started at the same time do not share a port', async () => {
  const [one, other] = await Promise.all([start(), start()]);
  expect(one.port).not.toBe(other.port);
});

it('it keeps nothing over a restart, which is on the same port', async () => {
  const redis = await start();
  const { pid, url } = redis;
  await ask(url, 'SET key value');
  await redis.restart();
  expect(redis.url).toBe(url);
  expect(redis.pid).not.toBe(pid);
  expect(await ask(url, 'GET key')).toBe('$-1\r\n');
  expect(isAlive(pid)).toBe(false);
});

it('a killed one is gone, and can be started again', async () => {
  const redis = await start();
  const { pid, url } = redis;
  await redis.kill();
  expect(isAlive(pid)).toBe(false);
  await expect(ask(url, 'PING')).rejects.toThrow('ECONNREFUSED');
  await redis.restart();
  expect(await ask(url, 'PING')).toBe('+PONG\r\n');
});

it('a paused one answers nothing until it is resumed', async () => {
  const redis = await start();
  redis.pause();
  let answer: string | undefined;
  const asked = ask(redis.url, 'PING').then((text) => {
    answer = text;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(answer).toBeUndefined();
  redis.resume();
  await asked;
  expect(answer).toBe('+PONG\r\n');
});

it('a paused one can be stopped', async () => {
  const redis = await start();
  redis.pause();
  await redis.stop();
  expect(isAlive(redis.pid)).toBe(false);
});

it('arguments of one’s own win over the default ones', async () => {
  const redis = await start({ args: ['--maxmemory', '5mb', '--requirepass', 'a-password'] });
  expect(await ask(redis.url, 'PING')).toMatch(/^-NOAUTH/);
});

it('one that cannot start says why', async () => {
  const redis = await start();
  await expect(startRedis({ port: redis.port })).rejects.toThrow(/in use/);
  await expect(startRedis({ args: ['--no-such-setting', '1'] })).rejects.toThrow(/no-such-setting/);
});
