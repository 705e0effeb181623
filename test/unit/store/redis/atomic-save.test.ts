import { expect, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import { accountOf, subjectId } from '../../../../src/token/subject.ts';
import { takeLease } from '../../../support/due-claims.ts';
import { eventually } from '../../../support/eventually.ts';
import { newKey, openRedisStore, saveToken } from '../../../support/filled-store.ts';
import { redisClient } from '../../../support/redis-client.ts';
import { monitorRedis } from '../../../support/redis-monitor.ts';
import { startRedis } from '../../../support/redis-server.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const OTHER = subjectId({ ...SUBJECT, unionId: 'bob' });
const END = 'end of the change';

/** The commands of a change that may write to keys of the token. A script counts once. */
async function watch(url: string, keyPrefix: string) {
  const keys = new Keys(keyPrefix);
  const watched = [keys.account(accountOf(ID)), keys.dueOf(accountOf(ID)), keys.fences(accountOf(ID)), keys.lease(ID)];
  const redis = redisClient(url);
  let seen: string[] = [];
  await monitorRedis(url, ({ isOfScript, words: [command = '', ...args] }) => {
    if (isOfScript) return;
    if (!args.some((arg) => watched.includes(arg) || arg === END)) return;
    if (!/^h?m?get$/i.test(command)) seen.push(command.toLowerCase());
  });
  return async (change: () => Promise<unknown>) => {
    seen = [];
    await change();
    await redis.echo(END);
    await eventually(() => seen.at(-1) === 'echo');
    return seen.slice(0, -1);
  };
}

test('each change writes token, schedule and account index in one command', async () => {
  const redis = await startRedis();
  const store = await openRedisStore(redis.url, 'one-step', [newKey('k1')]);
  const record = await saveToken(store, SUBJECT);
  const lease = await takeLease(store, ID, 10_000);
  const renewed = { ...record, generation: lease.generation };
  const restored = { ...record, generation: lease.generation + 1 };
  const dueAt = systemClock.now() + 60_000;
  const commandsOf = await watch(redis.url, 'one-step');
  // The first call of a script sends it twice, because Redis does not know it yet.
  await store.terminals.remove(OTHER);
  const changes: [change: () => Promise<unknown>, generation: number | undefined][] = [
    [() => store.terminals.save(lease, renewed, dueAt), renewed.generation],
    [() => store.terminals.restore(restored, dueAt), restored.generation],
    [() => store.terminals.remove(ID), undefined],
  ];
  for (const [change, generation] of changes) {
    expect(await commandsOf(change)).toEqual(['evalsha']);
    expect((await store.terminals.read(ID)).record?.generation).toBe(generation);
  }
});
