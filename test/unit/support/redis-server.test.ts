import { expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../../support/redis-server.ts';

it('a Redis that cannot start reports the reason', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  await expect(startRedis({ port: redis.port })).rejects.toThrow(/in use/);
  await expect(startRedis({ args: ['--no-such-setting', '1'] })).rejects.toThrow(/no-such-setting/);
});
