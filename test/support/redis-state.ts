import { randomUUID } from 'node:crypto';
import { expect, inject } from 'vitest';
import { connectRedis } from '../../src/store/redis/connection/connection.ts';
import { Keys } from '../../src/store/redis/keys.ts';
import type { ScriptCall } from '../../src/store/redis/lua-scripts.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { Lease, TokenStore } from '../../src/token/ports.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import { accountOf, type SubjectId, subjectId, terminalOf } from '../../src/token/subject.ts';
import { endWithTest } from './end-with-test.ts';
import { eventually } from './eventually.ts';
import { openRedisStore } from './filled-store.ts';
import { madeUpRecord } from './made-up-tokens.ts';

/** An empty store for one test, and the means to look at its keys and to change them. */
export async function openRedisState() {
  const url = inject('redisUrl');
  const keyPrefix = `state-${randomUUID()}`;
  const store = await openRedisStore(url, keyPrefix, []);
  const redis = connectRedis(url, 'commands', { info: () => undefined, warn: () => undefined });
  endWithTest(async () => redis.disconnect());
  await eventually(() => redis.ping().then(() => true));
  const keys = new Keys(keyPrefix);
  const due = (id: SubjectId) => keys.dueOf(accountOf(id));
  return {
    store,
    redis,
    keys,
    /** Ms until the subject is due; `undefined` when it is not in the due queue. */
    async dueInMs(id: SubjectId): Promise<number | undefined> {
      const score = await redis.zscore(due(id), id);
      return score === null ? undefined : Number(score) - systemClock.now();
    },
    async setDue(id: SubjectId, at: number): Promise<void> {
      await redis.zadd(due(id), at, id);
    },
    lifeMs: (key: string) => redis.pttl(key),
  };
}

export async function granted(store: TokenStore, id: SubjectId, durationMs = 10_000): Promise<Lease> {
  const answer = await store.terminals.acquire(id, durationMs);
  if (answer.kind !== 'granted') throw new Error(`the lease was not granted: ${answer.kind}`);
  return answer.lease;
}

/** Stores a token with this generation, without a lease. It is due in a minute. */
export async function restored(store: TokenStore, record: Partial<TokenRecord> & Pick<TokenRecord, 'subject'>) {
  const { generation, ...made } = madeUpRecord(record.subject);
  const answeredAt = record.generation ?? generation;
  const whole = { ...made, generation, answeredAt, ...record };
  const outcome = await store.terminals.restore(whole, systemClock.now() + 60_000);
  if (outcome !== 'saved') throw new Error(`the token of ${subjectId(record.subject)} was not restored: ${outcome}`);
  return whole;
}

/** Calls of scripts about a terminal, as the store makes them. */
export function scriptCalls(keys: Keys, id: SubjectId) {
  const account = accountOf(id);
  const ofAccount = [keys.account(account), keys.dueOf(account)];
  const [fences, changes] = [keys.fences(account), keys.changesOf(account)];
  const acquired = [keys.lease(id), fences, ...ofAccount, keys.failures(account)];
  return {
    acquire: (owner: string): ScriptCall => ['acquire', acquired, [owner, 10_000, terminalOf(id), id, 20]],
    remove: (terminal: string = terminalOf(id), limit = 20): ScriptCall => [
      'remove',
      [fences, ...ofAccount, changes],
      [terminal, id, keys.announcements, limit, '', ''],
    ],
    erase: (): ScriptCall => [
      'endSessions',
      [...ofAccount, fences, changes],
      ['erased', account, 1_000_000, keys.announcements, ''],
    ],
  };
}

/** Expects a time in the future, of which at most 2 s have passed. */
export function expectMs(actual: number | undefined, expected: number): void {
  expect(actual).toBeLessThanOrEqual(expected + 1);
  expect(actual).toBeGreaterThan(expected - 2_000);
}
