import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { Keys } from '../../../src/store/redis/keys.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { LoginRequest, TokenStore } from '../../../src/token/ports.ts';
import type { SdkToken, TokenRecord } from '../../../src/token/sdk-token.ts';
import { accountId, accountOf, type Subject, subjectId, terminalOf } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { newKey, openRedisStore, saveToken } from '../../support/filled-store.ts';
import { makeDue } from '../../support/make-due.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';

const LIFE_MS = 3_600_000;

function subjectOf(unionId: string): Subject {
  return { app: 'default', unionId, uniqueId: 'phone' };
}

/** A token of an hour that fell due a moment ago. */
function dueRecord(unionId: string): TokenRecord {
  const issuedAt = systemClock.now() - 0.91 * LIFE_MS;
  const fields = { accessToken: `first of ${unionId}` };
  const token = { fields, issuedAt, expiresAt: issuedAt + LIFE_MS };
  const [region, generation] = ['CN', Math.floor(issuedAt)];
  return { subject: subjectOf(unionId), region, token, generation, read: true, unreadRenewals: 0 };
}

/** A vendor that cannot be reached for accounts called poison. */
class PoisonedVendor extends ScriptedLogin {
  override login(request: LoginRequest): Promise<SdkToken> {
    this.failure = request.subject.unionId.startsWith('poison') ? new BrokerError('vendor_unavailable') : undefined;
    return super.login(request);
  }
}

function work(store: TokenStore) {
  const parts = brokerParts({ store, vendor: new PoisonedVendor() });
  parts.worker.start();
  onTestFinished(() => parts.worker.stop());
  return parts;
}

test('renewals that fail each time step back, and do not hold up what is due behind them', async () => {
  const store = createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 });
  const poison = Array.from({ length: 100 }, (_, number) => dueRecord(`poison-${number}`));
  for (const [number, record] of poison.entries())
    await store.terminals.restore(record, systemClock.now() - 1_000 + number);
  const healthy = dueRecord('healthy');
  await store.terminals.restore(healthy, systemClock.now());
  const { vendor } = work(store);
  await eventually(async () => {
    const { record } = await store.terminals.read(subjectId(healthy.subject));
    expect(record?.generation).toBeGreaterThan(healthy.generation);
  });
  await eventually(() => vendor.requests.length === poison.length + 1);
  // A claim alone would bring the first ones back after two seconds.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(vendor.requests).toHaveLength(poison.length + 1);
});

test('what is no record at all steps back by itself, and holds up nothing that is claimed along with it', async () => {
  const [url, keyPrefix] = [inject('redisUrl'), `poison-${randomUUID()}`];
  const store = await openRedisStore(url, keyPrefix, [newKey('k1')]);
  onTestFinished(() => store.close());
  const keys = new Keys(keyPrefix);
  const shardOf = ({ unionId }: Subject) => keys.dueOf(accountId(unionId));
  const subjects = Array.from({ length: 200 }, (_, number) => subjectOf(`account-${number}`));
  const [foreign, broken, ...healthy] = subjects.filter((subject) => shardOf(subject) === shardOf(subjectOf('alice')));
  if (!foreign || !broken || healthy.length < 4) throw new Error('too few lie together');
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  for (const subject of [foreign, broken, ...healthy]) await saveToken(store, subject);
  await redis.set(keys.account(accountId(foreign.unionId)), 'not a hash');
  await redis.hset(keys.account(accountId(broken.unionId)), terminalOf(subjectId(broken)), 'short');
  const due = shardOf(foreign);
  for (const [number, subject] of [foreign, broken, ...healthy].entries()) {
    await redis.zadd(due, systemClock.now() - 1_000 + number, subjectId(subject));
  }
  const { claims } = await store.dueQueue.claim(1_000, { shortest: 1_000, longest: 1_000 });
  expect(claims.map(({ record }) => record.subject)).toEqual(healthy);
  for (const subject of [foreign, broken]) {
    expect(Number(await redis.zscore(due, subjectId(subject))) - systemClock.now()).toBeGreaterThan(50_000);
  }
});

test('a record that no key opens is put off until its end, and costs no login', async () => {
  const [url, keyPrefix] = [inject('redisUrl'), `poison-${randomUUID()}`];
  const store = await openRedisStore(url, keyPrefix, [newKey('k1')]);
  onTestFinished(() => store.close());
  const { subject, token } = await saveToken(store, subjectOf('alice'));
  const id = subjectId(subject);
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  const keys = new Keys(keyPrefix);
  const [account, terminal] = [keys.account(accountOf(id)), terminalOf(id)];
  const bytes = (await redis.hgetBuffer(account, terminal)) ?? Buffer.alloc(0);
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  await redis.hset(account, terminal, bytes);
  await makeDue(store, id, systemClock.now());
  const { vendor } = work(store);
  await eventually(async () => {
    // Instants travel to Redis as spans.
    expect(Math.abs(Number(await redis.zscore(keys.dueOf(accountOf(id)), id)) - token.expiresAt)).toBeLessThan(100);
  });
  expect(vendor.requests).toHaveLength(0);
});
