import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { Keys } from '../../../src/store/redis/keys.ts';
import { systemClock } from '../../../src/token/clock.ts';
import type { TokenStore } from '../../../src/token/ports.ts';
import { accountId, accountOf, type Subject, subjectId, terminalOf } from '../../../src/token/subject.ts';
import { brokerParts, PHONE, PROACTIVE } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { newKey, openRedisStore, saveToken } from '../../support/filled-store.ts';
import { makeDue } from '../../support/make-due.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';

/** A new token is due at once. */
const ALWAYS_DUE = { ...PROACTIVE, share: { from: 0, to: 0 } };

const subjectOf = (unionId: string): Subject => ({ ...PHONE, unionId });

function startWorker(store: TokenStore, policy = PROACTIVE) {
  const parts = brokerParts({ store, policy, vendor: new ScriptedLogin() });
  parts.worker.start();
  onTestFinished(() => parts.worker.stop());
  return parts;
}

test('an entry without a valid record does not stop the renewals of its shard', async () => {
  const [url, keyPrefix] = [inject('redisUrl'), `unreadable-${randomUUID()}`];
  const store = await openRedisStore(url, keyPrefix, [newKey('k1')]);
  onTestFinished(() => store.close());
  const keys = new Keys(keyPrefix);
  const shardOf = ({ unionId }: Subject) => keys.dueOf(accountId(unionId));
  const subjects = Array.from({ length: 200 }, (_, number) => subjectOf(`account-${number}`));
  const [foreign, broken, ...healthy] = subjects.filter((subject) => shardOf(subject) === shardOf(subjectOf('alice')));
  if (!foreign || !broken || healthy.length < 4) throw new Error('too few accounts share a shard');
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  for (const subject of [foreign, broken, ...healthy]) await saveToken(store, subject);
  await redis.set(keys.account(accountId(foreign.unionId)), 'not a hash');
  await redis.hset(keys.account(accountId(broken.unionId)), terminalOf(subjectId(broken)), 'short');
  const [due, startedAt] = [shardOf(foreign), systemClock.now()];
  for (const [number, subject] of [foreign, broken, ...healthy].entries()) {
    await redis.zadd(due, systemClock.now() - 1_000 + number, subjectId(subject));
  }
  const { vendor } = startWorker(store, ALWAYS_DUE);
  await eventually(() => vendor.requests.length === healthy.length);
  expect(new Set(vendor.requests.map(({ subject }) => subject))).toEqual(new Set(healthy));
  // Bytes that are no record are like an expired token. What is no account is tried again, but not before two seconds.
  expect(await redis.zscore(due, subjectId(broken))).toBeNull();
  expect(Number(await redis.zscore(due, subjectId(foreign)))).toBeGreaterThan(startedAt + 1_900);
});

test('a record that no key can decrypt is postponed by an hour, and causes no login', async () => {
  const [url, keyPrefix] = [inject('redisUrl'), `unreadable-${randomUUID()}`];
  const store = await openRedisStore(url, keyPrefix, [newKey('k1')]);
  onTestFinished(() => store.close());
  const { subject } = await saveToken(store, subjectOf('alice'));
  const id = subjectId(subject);
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  const keys = new Keys(keyPrefix);
  const [account, terminal] = [keys.account(accountOf(id)), terminalOf(id)];
  const bytes = (await redis.hgetBuffer(account, terminal)) ?? Buffer.alloc(0);
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  await redis.hset(account, terminal, bytes);
  await makeDue(store, id, systemClock.now());
  const { vendor } = startWorker(store);
  await eventually(async () => {
    const dueInMs = Number(await redis.zscore(keys.dueOf(accountOf(id)), id)) - systemClock.now();
    expect(Math.abs(dueInMs - 3_600_000)).toBeLessThan(10_000);
  });
  expect(vendor.requests).toHaveLength(0);
});
