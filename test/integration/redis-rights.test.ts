import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { checkStore } from '../../src/commands/checks/store.ts';
import { rekey } from '../../src/commands/rekey.ts';
import { loadStoreConfig } from '../../src/config/config.ts';
import { systemClock } from '../../src/token/clock.ts';
import { readFile } from '../support/documents.ts';
import { eventually } from '../support/eventually.ts';
import { startServices } from '../support/fleet.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { askRedis, type RedisServer, startRedis } from '../support/redis-server.ts';

const LIFETIME = 10;

/** The ACL command for the broker's user in docs/production.md, split into words. */
function documentedRights(keyPrefix: string): [string, ...string[]] {
  const [, rights = ''] = /^(ACL SETUSER broker .*)$/m.exec(readFile('docs/production.md')) ?? [];
  return rights.replaceAll('sdkt:', `${keyPrefix}:`).split(' ') as [string, ...string[]];
}

/** Commands and keys that the server refused to this user. */
async function denials(redis: Redis): Promise<string[]> {
  const entries = (await redis.call('ACL', 'LOG')) as (string | number)[][];
  return entries.map((entry) => `${entry[entry.indexOf('reason') + 1]} ${entry[entry.indexOf('object') + 1]}`);
}

async function startSingle() {
  const redis = await startRedis();
  return { scheme: 'redis', nodes: [redis], database: '/1' };
}

async function startCluster() {
  const cluster = await startRedisCluster();
  return { scheme: 'redis-cluster', nodes: cluster.nodes, database: '' };
}

test.each([
  ['one Redis', startSingle],
  ['a Redis Cluster', startCluster],
])(
  '%s: the rights in docs/production.md are enough for replicas, and for the check and rekey commands',
  async (_, start) => {
    const { scheme, nodes, database } = await start();
    const keyPrefix = `rights-${randomUUID()}`;
    const [command, ...args] = documentedRights(keyPrefix);
    const onEach = <T>(commands: (redis: Redis) => Promise<T>) =>
      Promise.all(nodes.map((node: RedisServer) => askRedis(node, commands)));
    await onEach((redis) => redis.call(command, ...args));
    const env = {
      REDIS_URL: `${scheme}://broker:password@127.0.0.1:${nodes[0]?.port}${database}`,
      REDIS_KEY_PREFIX: keyPrefix,
      ADMIN_TOKEN,
      VENDOR_MAX_RPS: '10',
      RATE_LIMIT_PER_MINUTE: '600',
      LOGIN_LIMIT_PER_HOUR: '600',
    };
    const fleet = await startServices({ replicas: 2, env, vendor: { tokenLifetimeSeconds: LIFETIME } });
    const sessions = await Promise.all(['alice', 'bob'].map((name) => fleet.session(name)));
    const read = (name: number, replica: number, refused?: string) =>
      fleet.broker(replica).getToken(sessions[name] ?? '', 'phone', { refused });
    const admin = (call: string, body?: object) => askInternal(fleet.broker(1), call, body);

    const first = await read(0, 0);
    expect([first.status, (await read(0, 1)).status]).toEqual([200, 200]);
    await eventually(() => fleet.vendor.loginsOf('alice', 'phone') === 2, { timeoutMs: LIFETIME * 1_000 });
    expect((await read(0, 1)).status).toBe(200);
    expect((await read(0, 0, (await read(0, 0)).headers.etag)).status).toBe(200);
    fleet.vendor.configure({ fault: 'http-500' });
    expect([(await read(1, 0)).status, (await read(1, 1)).status, (await read(1, 0)).status]).toEqual([503, 503, 503]);
    fleet.vendor.configure({ fault: 'none' });
    const { accessId } = JSON.parse(first.body) as { accessId: string };
    const found = await admin('POST /accounts/lookup', { accessIds: [accessId] });
    expect(JSON.parse(found.body)).toEqual({ [accessId]: 'alice' });
    const terminal = { out: () => undefined, err: () => undefined, version: '', env: fleet.env };
    expect(await rekey([], terminal)).toBe(0);
    const failed = (await checkStore(loadStoreConfig(fleet.env), systemClock)).filter(({ level }) => level === 'FAIL');
    expect(failed).toEqual([]);
    expect((await admin('DELETE /accounts/alice/terminals/phone')).status).toBe(204);
    expect((await admin('DELETE /accounts/alice')).status).toBe(204);
    expect((await onEach(denials)).flat()).toEqual([]);
  },
);
