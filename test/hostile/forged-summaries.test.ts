import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { startServices } from '../support/fleet.ts';
import { ADMIN_TOKEN, statusOf } from '../support/internal-api.ts';
import { redisClient } from '../support/redis-client.ts';

const SOON = { timeoutMs: 20_000, everyMs: 500 };

/** Two replicas on a real Redis, and a writer in that Redis. */
async function attackedFleet(env: Readonly<Record<string, string>> = {}) {
  const { brokers, keyPrefix } = await startServices({ replicas: 2, env: { ADMIN_TOKEN, ...env } });
  const [replica] = brokers as [(typeof brokers)[number]];
  const redis = redisClient();
  const key = `${keyPrefix}:{replicas}`;
  await eventually(async () => expect((await statusOf(replica)).replicas).toHaveLength(2), SOON);
  const [left = ''] = Object.values(await redis.hgetall(key));
  const [, signature = '', json = ''] = /^\d+ ([^{]*)(.*)$/.exec(left) ?? [];
  return {
    replica,
    /** Stores changed copies of a summary that a replica has left, as if they had just been left. */
    async store(copies: readonly ((summary: object) => object)[], of = signature) {
      const texts = copies.map((change) => `${Date.now()} ${of}${JSON.stringify(change(JSON.parse(json)))}`);
      await redis.hset(key, Object.fromEntries(texts.map((text, at) => [`forged ${of}${at}`, text])));
    },
    /** After the second for which a report answers all callers. */
    async report() {
      await sleep(1_100);
      return statusOf(replica);
    },
  };
}

const LONG = 'x'.repeat(180);
const findings = [{ code: 'vendor_down', since: 0, host: LONG, reason: LONG, count: 1e9 }];
const ended = (more: object) => (summary: object) => ({ ...summary, ...more, counts: { endedTokens: 1e9 }, findings });

describe('a writer in Redis', () => {
  test('changes no number, finding or name of the fleet without a key, also by a copy of a real summary', async () => {
    const { report, store } = await attackedFleet();
    const { replicas } = await report();
    const copies = [ended({}), ended({ replica: LONG }), ended({ keyRing: undefined }), (same: object) => same];
    for (const signature of [undefined, '', ` ${Date.now()} `]) await store(copies, signature);
    const after = await report();
    expect(after).toMatchObject({ findings: [], tokensEnded: 0 });
    expect(after.replicas.map(({ replica, startedAt }) => [replica, startedAt])).toEqual(
      replicas.map(({ replica, startedAt }) => [replica, startedAt]),
    );
  });

  test('can show ten replicas of another key, with short names and nothing else', async () => {
    const { replica, report, store } = await attackedFleet();
    const other = { keyRing: { id: LONG, digests: ['of another key'] }, configuration: LONG, startedAt: 8e15 };
    await store(Array.from({ length: 50 }, (_, at) => ended({ ...other, replica: `${at} ${LONG}` })));
    const { findings: found, replicas, tokensEnded } = await report();
    expect(tokensEnded).toBe(0);
    expect(found.map(({ code }) => code)).toEqual(['configuration_differs']);
    expect(found[0]?.message.length).toBeLessThan(1_500);
    expect(replicas).toHaveLength(12);
    expect(replicas.filter((one) => one.findings === null)).toHaveLength(10);
    expect(Math.max(...replicas.map(({ replica: name }) => name.length))).toBe(64);
    for (const { startedAt } of replicas) expect(Date.parse(startedAt)).toBeLessThanOrEqual(Date.now());
    expect(Math.max(...replica.log().map((line) => line.length))).toBeLessThan(4_000);
  });

  test('can show false numbers where nothing is encrypted, but no impossible ones and no endless line', async () => {
    const { replica, report, store } = await attackedFleet({ TOKEN_ENCRYPTION_KEYS: 'off' });
    await store(Array.from({ length: 150 }, (_, at) => ended({ replica: `${at} ${LONG}`, configuration: `${at}` })));
    const { findings: found, tokensEnded } = await report();
    expect(tokensEnded).toBeLessThanOrEqual(10_000_000);
    expect(found.map(({ count = 0 }) => count).filter((count) => count > 10_000_000)).toEqual([]);
    for (const { message, replicas = [] } of found) {
      expect(message.length).toBeLessThan(2_000);
      expect(replicas.length).toBeLessThanOrEqual(21);
    }
    expect(Math.max(...replica.log().map((line) => line.length))).toBeLessThan(4_000);
  });
});
