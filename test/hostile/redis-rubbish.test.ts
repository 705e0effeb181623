import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import { Keys } from '../../src/store/redis/keys.ts';
import { systemClock } from '../../src/token/clock.ts';
import { BrokerError } from '../../src/token/errors.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import { LEASE_MS } from '../../src/token/renewal-timing.ts';
import { accountId, type Subject, subjectId } from '../../src/token/subject.ts';
import { brokerParts } from '../support/broker-parts.ts';
import { takeLease } from '../support/due-claims.ts';
import { eventually } from '../support/eventually.ts';
import { newKey, openRedisStore, PATIENT, saveToken } from '../support/filled-store.ts';
import { expectPrompt } from '../support/honest-reads.ts';
import { keysMatching, redisClient } from '../support/redis-client.ts';
import { asBrokerError } from './broker-errors.ts';

const TERMINALS = 5;
const LOGOUTS = Number(process.env['HOSTILE_LOGOUTS'] ?? 2_000);
/** Fences of one account: 64 terminals and the floor. */
const MAX_FENCES = 65;
/** One hash with 65 fences of 22 + 13 characters takes 3 KB. */
const MAX_FENCES_BYTES = 5_000;

let keyPrefix: string;
let keys: Keys;
let redis: Redis;
let store: TokenStore;

beforeEach(async () => {
  keyPrefix = `rubbish-${randomUUID()}`;
  keys = new Keys(keyPrefix);
  redis = redisClient();
  store = await openRedisStore(inject('redisUrl'), keyPrefix, [newKey('k1')], {
    ...PATIENT,
    terminalsPerAccount: TERMINALS,
  });
});

interface StoredKey {
  readonly key: string;
  readonly bytes: number;
  /** -1: it never expires. */
  readonly livesMs: number;
}

async function storedKeys(): Promise<StoredKey[]> {
  const found = await keysMatching(`${keyPrefix}:*`, redis);
  return Promise.all(
    found.map(async (key) => ({
      key,
      bytes: Number(await redis.memory('USAGE', key)),
      livesMs: await redis.pttl(key),
    })),
  );
}

function sum(stored: readonly StoredKey[]): number {
  return stored.reduce((total, { bytes }) => total + bytes, 0);
}

function subject(unionId: string, uniqueId: string): Subject {
  return { app: 'default', unionId, uniqueId };
}

/** Logs terminals out that never logged in. A busy machine may need more than one attempt. */
async function logOutUnknown(unionId: string, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 50) {
    const ids = Array.from({ length: Math.min(50, left) }, () => subjectId(subject(unionId, randomUUID())));
    await Promise.all(ids.map((id) => eventually(() => store.terminals.remove(id))));
  }
}

describe('logouts of terminals that never existed', () => {
  test('leave one key of bounded size per account, which expires within an hour', async () => {
    await logOutUnknown('mallory', LOGOUTS);
    const stored = (await storedKeys()).filter(({ key }) => key !== keys.changes(0));
    expect(stored.map(({ key }) => key)).toEqual([keys.fences(accountId('mallory'))]);
    expect(sum(stored)).toBeLessThan(MAX_FENCES_BYTES);
    expect(stored[0]?.livesMs).toBeGreaterThan(3_500_000);
    expect(stored[0]?.livesMs).toBeLessThanOrEqual(3_600_000);
    expect(await redis.hlen(keys.fences(accountId('mallory')))).toBeLessThanOrEqual(MAX_FENCES);
  });

  test('delay no read of a known token of another account: all are served, and soon', async () => {
    const known = { subject: subject('alice', 'phone'), region: undefined, sessionIssuedAt: undefined };
    await saveToken(store, known.subject);
    const { broker } = brokerParts({ store });
    await eventually(() => broker.read(known));
    const attack = new AbortController();
    const attacking = logOutUnknown('mallory', LOGOUTS).finally(() => attack.abort());
    const durationsMs: number[] = [];
    while (!attack.signal.aborted) {
      const startedAt = performance.now();
      await broker.read(known);
      durationsMs.push(performance.now() - startedAt);
      await sleep(5);
    }
    await attacking;
    expect(durationsMs.length).toBeGreaterThan(10);
    expectPrompt(durationsMs);
  });

  test('refuse no login of another account, and none of the own account that comes after them', async () => {
    const [honest, own] = [subject('alice', 'phone'), subject('mallory', 'phone')];
    const record = await saveToken(store, honest);
    const lease = await takeLease(store, subjectId(honest), 10_000);
    await logOutUnknown('mallory', 200);
    const renewed = { ...record, generation: lease.generation };
    expect(await store.terminals.save(lease, renewed, systemClock.now() + 9_000)).toBe('saved');
    expect((await saveToken(store, own)).generation).toBeGreaterThan(0);
  });
});

type Request =
  | { readonly kind: 'read' | 'refused' | 'logout'; readonly account: number; readonly terminal: number }
  | { readonly kind: 'erase'; readonly account: number }
  | { readonly kind: 'vendor'; readonly fails: boolean };

const ACCOUNTS = ['ann', 'ben', 'eve'];

const requests = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constantFrom('read' as const, 'refused' as const, 'logout' as const),
        account: fc.nat({ max: ACCOUNTS.length - 1 }),
        // Some are asked for again, most only once.
        terminal: fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 1_000_000 })),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('erase' as const), account: fc.nat({ max: 2 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('vendor' as const), fails: fc.boolean() }) },
  ),
  { minLength: 150, maxLength: 300, size: 'max' },
);

/** Keys that stay, because a token or an account needs them. The number of each has a bound of its own. */
function isPermanent(key: string): boolean {
  return key === keys.changes(0) || /:\{\d+\}:(?:a|i|due)\b/.test(key);
}

async function sendAll(sequence: readonly Request[]): Promise<void> {
  const { broker, accounts, vendor, worker } = brokerParts({ store, perHour: 600 });
  onTestFinished(() => worker.stop());
  const session = { region: 'CN', sessionIssuedAt: systemClock.now() + 60_000 };
  const send = async (request: Request): Promise<unknown> => {
    if (request.kind === 'vendor') {
      vendor.failure = request.fails ? new BrokerError('vendor_unavailable') : undefined;
      return;
    }
    const unionId = ACCOUNTS[request.account] ?? '';
    if (request.kind === 'erase') return accounts.erase(unionId);
    const asked = { subject: subject(unionId, `terminal-${request.terminal}`), ...session };
    if (request.kind === 'logout') return accounts.logOut(asked.subject, session);
    const served = await broker.read(asked);
    return request.kind === 'refused' ? broker.read({ ...asked, refused: served.etag }) : served;
  };
  for (let at = 0; at < sequence.length; at += 10) {
    await Promise.all(sequence.slice(at, at + 10).map((request) => send(request).catch(asBrokerError)));
  }
}

async function checkWhatIsLeft(): Promise<void> {
  const stored = await storedKeys();
  const bounded = stored.filter(({ key }) => !isPermanent(key));
  for (const { key, livesMs } of bounded) {
    expect(livesMs, key).toBeGreaterThan(0);
    expect(livesMs, key).toBeLessThanOrEqual(3_600_000);
  }
  for (const unionId of ACCOUNTS) {
    const account = accountId(unionId);
    const own = stored.filter(({ key }) => key.includes(account));
    expect(own.filter(({ key }) => key.includes(':f:')).length).toBeLessThanOrEqual(1);
    for (const { livesMs } of own.filter(({ key }) => key.includes(':l:')))
      expect(livesMs).toBeLessThanOrEqual(LEASE_MS);
    expect(await redis.hlen(keys.fences(account))).toBeLessThanOrEqual(MAX_FENCES);
    // Records, country, directory entry, erasure.
    expect(await redis.hlen(keys.account(account))).toBeLessThanOrEqual(TERMINALS + 3);
    // Failures of terminals: as many as logins are admitted in a minute.
    expect(own.length).toBeLessThan(25);
    expect(sum(own)).toBeLessThan(15_000);
  }
  const due = await Promise.all(
    [...new Set(ACCOUNTS.map((one) => keys.dueOf(accountId(one))))].map((key) => redis.zcard(key)),
  );
  expect(due.reduce((total, count) => total + count, 0)).toBeLessThanOrEqual(TERMINALS * ACCOUNTS.length);
  // Rates: one per account, and one per stored terminal that was refused in the last minute.
  expect(bounded.filter(({ key }) => key.includes(':r:')).length).toBeLessThan(40);
}

test.each([
  ['a fixed seed', { seed: 13 }],
  ['a fresh seed', {}],
])('random requests of a few accounts leave a bounded number of keys, and each expires: %s', async (_seed, options) => {
  await fc.assert(
    fc.asyncProperty(requests, async (sequence) => {
      await sendAll(sequence);
      await checkWhatIsLeft();
    }),
    { numRuns: 3, ...options },
  );
  // On a busy machine, a lease that could not be released delays its terminal by 5 s.
});
