import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { rekey } from '../../src/commands/rekey.ts';
import { Rekey } from '../../src/store/redis/rekey.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import type { Subject } from '../../src/token/subject.ts';
import { type BrokerProcess, startBroker } from '../support/broker-process.ts';
import { Chance } from '../support/chance.ts';
import { startCommand } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { fillStore, keyRing, newKey, openRedisStore, sealedUnder, type TestKey } from '../support/filled-store.ts';
import { type Fleet, lateCommands, startFleet } from '../support/fleet.ts';
import { ADMIN_TOKEN, statusOf } from '../support/internal-api.ts';
import { startRedis } from '../support/redis-server.ts';
import { accessTokenOf, wasTaken } from '../support/served-token.ts';

const [A, B] = [newKey('A'), newKey('B')];
const [ACCOUNTS, TERMINALS] = [100, 10];
const TOKENS = ACCOUNTS * TERMINALS;
const AT_ONCE = 25;
/** How long the tokens live that are renewed during the rotation. */
const LIFE_SECONDS = 6;
/** An odd number, so that each of two replicas reads each part of the tokens. */
const PARTS = 19;

/** With long ids, so that the smallest cache holds only a part of them. */
const SUBJECTS: readonly Subject[] = Array.from({ length: TOKENS }, (_, number) => ({
  app: 'default',
  unionId: `account-${number % ACCOUNTS}-`.padEnd(128, 'x'),
  uniqueId: `phone-${Math.floor(number / ACCOUNTS)}-`.padEnd(128, 'x'),
}));
/** One token for each account. */
const ACCOUNT_EACH = SUBJECTS.map((subject, number) => ({ ...subject, unionId: `account-${number}` }));

interface Stored {
  readonly REDIS_URL: string;
  readonly REDIS_KEY_PREFIX: string;
}

/** Starts the `rekey` command in a process of its own. */
function startRekey(stored: Stored, ring: string) {
  return startCommand(['rekey'], { ...stored, TOKEN_ENCRYPTION_KEYS: ring });
}

/** Runs the `rekey` command in this process. @throws Error with what it would print when it fails */
async function runRekey(stored: Stored, ring: string, ...flags: readonly string[]) {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const context = { out: write, err: write, version: '' };
  const code = await rekey(flags, { ...context, env: { ...stored, TOKEN_ENCRYPTION_KEYS: ring } });
  return { code, out: lines.join('\n') };
}

/** Re-encrypts all records once, with the first key. @returns the number of records that had another key */
async function reencrypt({ REDIS_URL: url, REDIS_KEY_PREFIX: keyPrefix }: Stored, encryptionKeys: readonly TestKey[]) {
  const silent = { info: () => undefined, warn: () => undefined };
  const store = new Rekey({ url, keyPrefix, encryptionKeys, log: silent });
  onTestFinished(() => store.close());
  const walk = () => store.walk(new AbortController().signal, () => undefined);
  // On a busy machine, Redis may answer too late. The next walk does the rest.
  return (await eventually(walk)).resealed;
}

function figure(out: string, label: string): number {
  return Number(new RegExp(`^  ${label} +([\\d,]+)`, 'm').exec(out)?.[1]?.replaceAll(',', ''));
}

function sumOf(kinds: Readonly<Record<string, number>> = {}): number {
  return Object.values(kinds).reduce((sum, count) => sum + count, 0);
}

async function sessionsOf(fleet: Fleet): Promise<ReadonlyMap<string, string>> {
  const accounts = [...new Set(SUBJECTS.map(({ unionId }) => unionId))];
  return new Map(await Promise.all(accounts.map(async (name) => [name, await fleet.session(name)] as const)));
}

/** Reads the token of each record. @returns the reads that did not give the stored token */
async function misreads(
  broker: BrokerProcess,
  records: readonly TokenRecord[],
  sessions: ReadonlyMap<string, string>,
): Promise<string[]> {
  const wrong: string[] = [];
  const left = [...records];
  const read = async () => {
    for (let record = left.pop(); record; record = left.pop()) {
      const { unionId, uniqueId } = record.subject;
      const answer = await broker.getToken(sessions.get(unionId) ?? '', uniqueId);
      const token = answer.status === 200 ? accessTokenOf(answer) : answer.body;
      if (token !== record.token.fields['accessToken']) wrong.push(`${unionId} ${uniqueId}: ${answer.status}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, read));
  return wrong;
}

describe('a thousand tokens encrypted with key A', () => {
  test('stay readable on all replicas during a rotation to key B, without a login', async ({ annotate }) => {
    // The cache is too small for all of them.
    const fleet = await startFleet({ replicas: 2, env: { TOKEN_ENCRYPTION_KEYS: keyRing(B, A), CACHE_MAX_MB: '1' } });
    const stored = { REDIS_URL: fleet.env['REDIS_URL'] ?? '', REDIS_KEY_PREFIX: fleet.keyPrefix };
    const count = () => sealedUnder(stored.REDIS_URL, fleet.keyPrefix);
    const store = await openRedisStore(stored.REDIS_URL, fleet.keyPrefix, [A]);
    const records = await fillStore(store, SUBJECTS);
    await store.close();
    const sessions = await sessionsOf(fleet);
    expect(await count()).toEqual({ A: { a: TOKENS, d: ACCOUNTS } });

    // A read leaves the record under A.
    expect(await misreads(fleet.broker(0), records.slice(0, TOKENS / 2), sessions)).toEqual([]);
    expect(await count()).toEqual({ A: { a: TOKENS, d: ACCOUNTS } });
    expect(fleet.vendor.state().requests).toBe(0);

    // All records are re-encrypted back and forth while short-lived tokens are renewed and all replicas read.
    fleet.vendor.configure({ tokenLifetimeSeconds: LIFE_SECONDS });
    const live = await Promise.all(
      Array.from(
        { length: 20 },
        async (_, number) => [`live-${number}`, await fleet.session(`live-${number}`)] as const,
      ),
    );
    const ended = new AbortController();
    const startedAt = performance.now();
    let reads = 0;
    const failures: string[] = [];
    const readLive = async () => {
      for (let number = 0; !ended.signal.aborted; number += 1) {
        const [name, session] = live[number % live.length] ?? ['', ''];
        const askedAt = Date.now();
        const answer = await fleet.broker(Math.floor(number / live.length)).getToken(session, 'phone');
        reads += 1;
        if (answer.status !== 200 || !wasTaken(fleet.vendor, answer, askedAt)) {
          failures.push(`${name}: ${answer.status} ${answer.body}`);
        }
        await sleep(20);
      }
    };
    let partsRead = 0;
    const readStored = async () => {
      for (; !ended.signal.aborted; partsRead += 1) {
        const number = partsRead;
        const some = records.filter((_, index) => index % PARTS === number % PARTS);
        failures.push(...(await misreads(fleet.broker(number), some, sessions)));
        reads += some.length;
        // The replicas and Redis need the CPU: Redis must answer within 180 ms.
        await sleep(100);
      }
    };
    const reading = [readLive(), readStored()];
    const rekeys: number[] = [];
    const logins = () => live.map(([name]) => fleet.vendor.loginsOf(name, 'phone'));
    const areRenewed = () => Math.min(...logins()) > 1;
    const isDone = () => areRenewed() && partsRead >= 2 * PARTS;
    for (let round = 0; round < 3 || (round < 60 && !isDone()); round += 1) {
      rekeys.push(await reencrypt(stored, [B, A]), await reencrypt(stored, [A, B]));
      // The replicas and Redis need the CPU in between.
      await sleep(700);
    }
    await eventually(async () => {
      const { out, code } = await startRekey(stored, keyRing(B, A)).ended();
      expect([code, figure(out, 'unreadable')]).toEqual([0, 0]);
    });
    const sealed = await count();
    expect(Object.keys(sealed)).toEqual(['B']);
    // The 20 tokens that live for seconds may or may not exist at this moment.
    expect(sealed['B']?.['a']).toBeGreaterThanOrEqual(TOKENS);
    expect(sealed['B']).toMatchObject({ d: ACCOUNTS + 20 });
    ended.abort();
    await Promise.all(reading);
    const seconds = (performance.now() - startedAt) / 1_000;
    // Without an answer of Redis in time, a read logs in. So a busy machine may replace a few tokens.
    const isReplaced = ({ unionId, uniqueId }: Subject) => fleet.vendor.loginsOf(unionId, uniqueId) > 0;
    const replaced = SUBJECTS.filter(isReplaced);
    expect(replaced.length).toBeLessThanOrEqual(await lateCommands(fleet));
    const replacedReads = new Set(replaced.map(({ unionId, uniqueId }) => `${unionId} ${uniqueId}: 200`));
    expect(failures.filter((failure) => !replacedReads.has(failure))).toEqual([]);
    expect(Math.min(...rekeys)).toBeGreaterThan(0);
    // expireTime counts whole seconds, so a token may live 1 s less, and is renewed at 0.7 of that or later.
    const most = 1 + Math.ceil(seconds / (0.7 * (LIFE_SECONDS - 1)));
    expect(Math.max(...logins())).toBeLessThanOrEqual(most);
    expect(isDone()).toBe(true);
    await annotate(
      `${replaced.length} of ${TOKENS} tokens replaced by a login, ${reads} reads in ${seconds.toFixed(1)} s, re-encrypted ${rekeys.join(', ')}`,
    );

    // The key ring no longer contains A.
    await Promise.all(fleet.brokers.map((broker) => broker.stop()));
    fleet.vendor.configure({ tokenLifetimeSeconds: 86_400 });
    const onlyB = await startBroker({ ...fleet.env, TOKEN_ENCRYPTION_KEYS: keyRing(B) });
    const kept = records.filter(({ subject }) => !isReplaced(subject));
    expect(await misreads(onlyB, kept, sessions)).toEqual([]);
    await onlyB.stop();
    expect(SUBJECTS.filter(isReplaced)).toEqual(replaced);
  }, 300_000);
});

describe('a roll-out that replaces the key instead of adding it', () => {
  const subjects = SUBJECTS.slice(0, 40).map(({ unionId }) => ({ app: 'default', unionId, uniqueId: 'phone' }));

  test.each(['overlap', 'replace'] as const)(
    'costs each replica one login per terminal: %s',
    async (mode) => {
      const limits = { ADMIN_TOKEN, LOGIN_LIMIT_PER_HOUR: '60' };
      const fleet = await startFleet({
        replicas: 1,
        vendor: { mode },
        env: { ...limits, TOKEN_ENCRYPTION_KEYS: keyRing(A) },
      });
      const sessions = await Promise.all(subjects.map(({ unionId }) => fleet.session(unionId)));
      const read = (broker: BrokerProcess, number: number, options = {}) =>
        broker.getToken(sessions[number % sessions.length] ?? '', 'phone', options);
      for (const number of sessions.keys()) expect((await read(fleet.broker(0), number)).status).toBe(200);

      const other = await startBroker({ ...fleet.env, TOKEN_ENCRYPTION_KEYS: keyRing(B) });
      const brokers = [fleet.broker(0), other] as const;
      await eventually(
        async () => {
          for (const broker of brokers) {
            const { findings } = await statusOf(broker);
            expect(findings).toMatchObject([
              { code: 'configuration_differs', reason: expect.stringMatching(/^A \(.*\), B \(.*\)$/) },
            ]);
          }
        },
        { timeoutMs: 10_000, everyMs: 500 },
      );
      const isError = (line: string) => line.includes('can read none of the stored tokens');
      const isServing = (line: string) => line.includes('"msg":"ready"');
      const [said, served] = [isError, isServing].map((matches) => other.log().findIndex(matches));
      expect(JSON.parse(other.log()[said ?? -1] ?? '')).toMatchObject({ level: 'error', keys: ['B'], needed: ['A'] });
      expect(said).toBeLessThan(served ?? -1);

      const chance = new Chance(12);
      const statuses = new Set<number>();
      for (let round = 0; round < 15; round += 1) {
        // Each account asks a replica at random, as behind a load balancer.
        const answers = await Promise.all(sessions.map((_, number) => read(chance.pick(brokers), number)));
        for (const { status } of answers) statuses.add(status);
      }
      expect([...statuses]).toEqual([200]);
      const late = await lateCommands({ brokers });
      const logins = () => subjects.map(({ unionId }) => fleet.vendor.loginsOf(unionId, 'phone'));
      expect(logins().reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(2 * subjects.length + late);

      // The login of the other replica may have ended its token. The app reports it, and gets another one.
      const { headers, ...ended } = await read(fleet.broker(0), 0);
      const { live } = fleet.vendor.checkToken(accessTokenOf(ended));
      expect(live).toBe(mode === 'overlap');
      const replacement = await read(fleet.broker(0), 0, { refused: headers.etag });
      expect(replacement.status).toBe(200);
      expect(fleet.vendor.checkToken(accessTokenOf(replacement)).live).toBe(true);
      expect(accessTokenOf(replacement)).not.toBe(accessTokenOf(ended));
    },
    120_000,
  );
});

describe('rekey', () => {
  test('keeps its progress when it is interrupted, and the next run does the rest', async () => {
    const server = await startRedis({ args: ['--notify-keyspace-events', 'Kh'] });
    const stored = { REDIS_URL: server.url, REDIS_KEY_PREFIX: `rekey-${randomUUID()}` };
    const store = await openRedisStore(server.url, stored.REDIS_KEY_PREFIX, [A]);
    await fillStore(store, ACCOUNT_EACH);
    const [admin, ear] = [new Redis(server.url), new Redis(server.url)];
    onTestFinished(() => [admin, ear].forEach((redis) => void redis.disconnect()));
    await ear.psubscribe('__keyspace@0__:*');
    const isWriting = new Promise<void>((resolve) => {
      ear.once('pmessage', () => void admin.call('CLIENT', 'PAUSE', '60000', 'WRITE').then(() => resolve()));
    });

    const rekey = startRekey(stored, keyRing(B, A));
    await isWriting;
    rekey.signal('SIGINT');
    const stopped = await rekey.ended();
    await admin.call('CLIENT', 'UNPAUSE');
    expect(stopped).toMatchObject({ code: 1, out: expect.stringContaining('Run rekey again to continue') });
    const { A: left, B: done } = await sealedUnder(server.url, stored.REDIS_KEY_PREFIX);
    expect(sumOf(done)).toBeGreaterThan(0);
    expect(sumOf(left)).toBeGreaterThan(TOKENS);
    expect(sumOf(left) + sumOf(done)).toBe(2 * TOKENS);

    const { code, out } = await runRekey(stored, keyRing(B, A));
    expect(code).toBe(0);
    expect(figure(out, 'already current')).toBe(sumOf(done));
    expect(figure(out, 're-encrypted')).toBe(sumOf(left));
    expect(await sealedUnder(server.url, stored.REDIS_KEY_PREFIX)).toEqual({ B: { a: TOKENS, d: TOKENS } });
  });

  test('reports a failure while a replica still encrypts with the old key', async () => {
    const stored = { REDIS_URL: inject('redisUrl'), REDIS_KEY_PREFIX: `rekey-${randomUUID()}` };
    const store = await openRedisStore(stored.REDIS_URL, stored.REDIS_KEY_PREFIX, [A]);
    // The replica writes in between, because the walk takes several batches.
    await fillStore(store, ACCOUNT_EACH);
    const ended = new AbortController();
    const write = async () => {
      while (!ended.signal.aborted) await fillStore(store, ACCOUNT_EACH.slice(0, 20)).catch(() => undefined);
    };
    const writing = write();
    const { code, out } = await runRekey(stored, keyRing(B, A));
    ended.abort();
    await writing;
    expect(code).toBe(1);
    expect(out).toMatch(
      /more records with another key. A replica does not have B first in TOKEN_ENCRYPTION_KEYS, or Redis has failed over or moved slots/,
    );
    expect(await runRekey(stored, keyRing(B, A))).toMatchObject({ code: 0 });
    expect(await sealedUnder(stored.REDIS_URL, stored.REDIS_KEY_PREFIX)).toEqual({ B: { a: TOKENS, d: TOKENS } });
  });

  test('names missing settings, missing data and an unreachable Redis, and shows no key', async () => {
    const stored = { REDIS_URL: 'redis://127.0.0.1:1', REDIS_KEY_PREFIX: 'x' };
    const bare = await startRekey({ ...stored, REDIS_URL: '' }, keyRing(A).slice(0, -3)).ended();
    expect(bare.code).toBe(1);
    expect(bare.out).toMatch(/^The .*\n {2}- TOKEN_ENCRYPTION_KEYS must be .*\n {2}- REDIS_URL is required: .*$/);
    await expect(runRekey(stored, 'off')).rejects.toThrow('TOKEN_ENCRYPTION_KEYS must hold at least one key');
    const unreachable = await runRekey(stored, keyRing(A)).then(({ out }) => out, String);
    expect(unreachable).toMatch(/Redis failed: .*ECONNREFUSED.*Run rekey/);
    const elsewhere = { REDIS_URL: inject('redisUrl'), REDIS_KEY_PREFIX: `rekey-${randomUUID()}` };
    expect(await runRekey(elsewhere, keyRing(A))).toMatchObject({
      code: 1,
      out: expect.stringContaining(
        'There are no records. Check that REDIS_URL and REDIS_KEY_PREFIX are the same as on the replicas',
      ),
    });
    const { out: chinese } = await runRekey(elsewhere, keyRing(A), '--lang', 'zh');
    expect(chinese.split('\n').filter((line) => !/\p{Script=Han}/u.test(line))).toEqual([]);
    for (const out of [bare.out, unreachable]) expect(out).not.toContain(A.key.toString('base64').slice(0, 8));
  });

  test('fails with a key ring that decrypts nothing, and does not say that a key can be removed', async () => {
    const stored = { REDIS_URL: inject('redisUrl'), REDIS_KEY_PREFIX: `rekey-${randomUUID()}` };
    const store = await openRedisStore(stored.REDIS_URL, stored.REDIS_KEY_PREFIX, [A]);
    await fillStore(store, SUBJECTS.slice(0, 20));
    const { code, out } = await runRekey(stored, keyRing(B));
    expect(code).toBe(1);
    expect(out).toContain('No key of TOKEN_ENCRYPTION_KEYS decrypts any record. Remove no key.');
    expect(out).not.toContain('you can now remove');
    await fillStore(await openRedisStore(stored.REDIS_URL, stored.REDIS_KEY_PREFIX, [B]), SUBJECTS.slice(20, 21));
    const { code: left, out: told } = await runRekey(stored, keyRing(B));
    expect([left, figure(told, 'unreadable')]).toEqual([0, figure(out, 'unreadable')]);
    expect(told).toMatch(/ sealed under key A, which is not among them$/m);
    expect(told).toMatch(/^No key decrypts [\d,]+ of the records\. If you still have their key, append it /m);
  });
});
