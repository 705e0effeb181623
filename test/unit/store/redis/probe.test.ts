import { readdirSync, readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { beforeAll, expect, test } from 'vitest';
import { probeRedis } from '../../../../src/store/redis/probe.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import { askRedis, type RedisServer, startRedis } from '../../../support/redis-server.ts';

let server: RedisServer;

beforeAll(async () => {
  server = await startRedis();
  return () => server.stop();
});

async function probed(right: string) {
  const ask = <Answer>(question: (redis: Redis) => Promise<Answer>) => askRedis(server, question);
  const rights = ['reset', 'on', '>secret', '~*', '&*', '+@all', right].filter((one) => one !== '');
  await ask((redis) => redis.acl('SETUSER', 'broker', ...rights));
  const url = server.url.replace('redis://', 'redis://broker:secret@');
  const probe = await probeRedis({ url, keyPrefix: 'probe', encryptionKeys: [], timeoutMs: 5_000, clock: systemClock });
  return {
    probe,
    expiries: await ask(async (redis) => Promise.all((await redis.keys('*')).map((key) => redis.pttl(key)))),
  };
}

/** The commands of all scripts, and those of a replica besides scripts that it cannot do without. */
const SCRIPTS = new URL('../../../../src/store/redis/scripts/', import.meta.url);
const texts = readdirSync(SCRIPTS).map((name) => readFileSync(new URL(name, SCRIPTS), 'utf8'));
const inScripts = texts.flatMap((text) => [...text.matchAll(/redis\.call\('([A-Z]+)'/g)].map(([, name]) => name));
const commands = new Set([...inScripts, 'PING', 'SUBSCRIBE', 'TIME']);

test('a probe succeeds with all rights, and leaves nothing in Redis', async () => {
  const { probe, expiries } = await probed('');
  expect(probe).toMatchObject({ connected: true, scriptTrouble: undefined });
  expect(expiries).toEqual([]);
});

test.each([...commands].sort())(
  'a probe reports that the user has no right to %s, and leaves nothing for long',
  async (command) => {
    const { probe, expiries } = await probed(`-${command}`.toLowerCase());
    expect(probe).toMatchObject({ connected: true, scriptTrouble: 'REFUSED', refused: [command] });
    for (const expiryMs of expiries) expect(expiryMs).toBeGreaterThan(0);
  },
);
