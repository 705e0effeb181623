import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';
import { askRedis } from '../support/redis-server.ts';

const ACCOUNTS = 80;
/** Erasures begin before the failover, and go on until the old master has become a replica. */
const PAUSE_MS = 150;
/** How long the replicas may take to repeat an erasure that the failover has lost. */
const HEALED_MS = 5_000;

test('a planned failover by the Sentinels loses no erasure that was answered, and refuses few', async () => {
  const sentinels = await startRedisSentinels();
  const fleet = await startFleet({ replicas: 2, env: { REDIS_URL: sentinels.url, ADMIN_TOKEN } });
  const names = Array.from({ length: ACCOUNTS }, (_, number) => `account-${number}`);
  await Promise.all(
    names.map(async (name, number) => {
      expect(await fleet.broker(number).getToken(await fleet.session(name), 'phone')).toMatchObject({ status: 200 });
    }),
  );
  const [, sentinelPort] = /:(\d+)/.exec(sentinels.url.replace('redis-sentinel://127.0.0.1', '')) ?? [];
  const erased: string[] = [];
  let refused = 0;
  const erase = async (name: string, number: number): Promise<void> => {
    const { status } = await askInternal(fleet.broker(number), `DELETE /accounts/${name}`);
    if (status === 204) erased.push(name);
    else refused += 1;
  };
  const running: Promise<void>[] = [];
  for (const [number, name] of names.entries()) {
    running.push(erase(name, number));
    if (number === 5) {
      await askRedis({ port: Number(sentinelPort) }, (redis) => redis.call('SENTINEL', 'FAILOVER', 'mymaster'));
    }
    await sleep(PAUSE_MS);
  }
  await Promise.all(running);
  const { replica } = sentinels;
  await eventually(() =>
    askRedis(replica, (redis) => redis.info('replication')).then((info) => info.includes('role:master')),
  );
  expect(refused).toBeLessThan(ACCOUNTS / 4);
  const lost = async (): Promise<string[]> => {
    const answers = await Promise.all(
      erased.map((name, number) => askInternal(fleet.broker(number), `GET /accounts/${name}`)),
    );
    return erased.filter((_, number) => answers[number]?.status !== 404);
  };
  await eventually(async () => (await lost()).length === 0, { timeoutMs: HEALED_MS });
});
