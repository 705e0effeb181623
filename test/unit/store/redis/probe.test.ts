import { expect, onTestFinished, test } from 'vitest';
import { probeRedis } from '../../../../src/store/redis/probe.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import { askRedis, startRedis } from '../../../support/redis-server.ts';

async function probed(right: string) {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const rights = ['on', '>secret', '~*', '&*', '+@all', right].filter((one) => one !== '');
  await askRedis(server, (redis) => redis.acl('SETUSER', 'broker', ...rights));
  const url = server.url.replace('redis://', 'redis://broker:secret@');
  const probe = await probeRedis({ url, keyPrefix: 'probe', encryptionKeys: [], timeoutMs: 5_000, clock: systemClock });
  return { probe, keys: await askRedis(server, (redis) => redis.keys('*')) };
}

test('a probe succeeds with all rights, and leaves nothing in Redis', async () => {
  const { probe, keys } = await probed('');
  expect(probe).toMatchObject({ connected: true, scriptTrouble: undefined });
  expect(keys).toEqual([]);
});

test.each(['-set', '-publish', '-del', '-time'])('a probe reports a missing right: %s', async (right) => {
  expect((await probed(right)).probe).toMatchObject({ connected: true, scriptTrouble: 'NOPERM' });
});
