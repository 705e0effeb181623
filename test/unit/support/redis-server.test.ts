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

/** Sends a command without authentication, and returns the raw reply. */
async function send(url: string, command: string): Promise<string> {
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

it('every test gets the URL of a Redis', () => {
  expect(inject('redisUrl')).toMatch(/^rediss?:\/\/./);
});

it('a started Redis answers immediately, and has the reported process id', async () => {
  const redis = await start();
  expect(await send(redis.url, 'PING')).toBe('+PONG\r\n');
  expect(await send(redis.url, 'INFO server')).toContain(`process_id:${redis.pid}\r\n`);
});

it('two Redis servers that start at the same time have different ports', async () => {
  const [one, other] = await Promise.all([start(), start()]);
  expect(one.port).not.toBe(other.port);
});

it('a restarted Redis is empty and has the same port', async () => {
  const redis = await start();
  const { pid, url } = redis;
  await send(url, 'SET key value');
  await redis.restart();
  expect(redis.url).toBe(url);
  expect(redis.pid).not.toBe(pid);
  expect(await send(url, 'GET key')).toBe('$-1\r\n');
  expect(isAlive(pid)).toBe(false);
});

it('a killed Redis is gone, and can be started again', async () => {
  const redis = await start();
  const { pid, url } = redis;
  await redis.kill();
  expect(isAlive(pid)).toBe(false);
  await expect(send(url, 'PING')).rejects.toThrow('ECONNREFUSED');
  await redis.restart();
  expect(await send(url, 'PING')).toBe('+PONG\r\n');
});

it('a paused Redis answers nothing until it is resumed', async () => {
  const redis = await start();
  redis.pause();
  let answer: string | undefined;
  const asked = send(redis.url, 'PING').then((text) => {
    answer = text;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(answer).toBeUndefined();
  redis.resume();
  await asked;
  expect(answer).toBe('+PONG\r\n');
});

it('a paused Redis can be stopped', async () => {
  const redis = await start();
  redis.pause();
  await redis.stop();
  expect(isAlive(redis.pid)).toBe(false);
});

it('additional arguments override the defaults', async () => {
  const redis = await start({ args: ['--maxmemory', '5mb', '--requirepass', 'a-password'] });
  expect(await send(redis.url, 'PING')).toMatch(/^-NOAUTH/);
});

it('a Redis that cannot start reports the reason', async () => {
  const redis = await start();
  await expect(startRedis({ port: redis.port })).rejects.toThrow(/in use/);
  await expect(startRedis({ args: ['--no-such-setting', '1'] })).rejects.toThrow(/no-such-setting/);
});
