import { randomUUID } from 'node:crypto';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { Rekey, type RekeyTotals } from '../../../../src/store/redis/rekey.ts';
import type { Subject } from '../../../../src/token/subject.ts';
import { startFaultProxy } from '../../../support/fault-proxy.ts';
import { fillStore, newKey, openRedisStore, sealedUnder, type TestKey } from '../../../support/filled-store.ts';
import { startRedisCluster } from '../../../support/redis-cluster.ts';
import { startRedis } from '../../../support/redis-server.ts';

const OLD = newKey('old');
const NEW = newKey('new');
const STRANGE = newKey('strange');
const silent = { info: () => undefined, warn: () => undefined };
const never = new AbortController().signal;

function subjectsOf(name: string, accounts: number, terminals: number): Subject[] {
  return Array.from({ length: accounts * terminals }, (_, number) => ({
    app: 'default',
    unionId: `${name}-${number % accounts}`,
    uniqueId: `phone-${Math.floor(number / accounts)}`,
  }));
}

function newStore(url = inject('redisUrl')) {
  const keyPrefix = `rekey-${randomUUID()}`;
  const fill = async (ring: readonly TestKey[], subjects: readonly Subject[]) => {
    const store = await openRedisStore(url, keyPrefix, ring);
    onTestFinished(() => store.close());
    return { store, records: await fillStore(store, subjects) };
  };
  const walk = async (ring: readonly TestKey[], ended = never, report: Parameters<Rekey['walk']>[1] = () => {}) => {
    const rekey = new Rekey({ url, keyPrefix, encryptionKeys: ring, log: silent });
    onTestFinished(() => rekey.close());
    return rekey.walk(ended, report);
  };
  return { url, keyPrefix, fill, walk, count: () => sealedUnder(url, keyPrefix) };
}

function totals(some: Partial<RekeyTotals>): RekeyTotals {
  return { lookedAt: 0, resealed: 0, current: 0, changed: 0, unreadable: new Map(), ...some };
}

describe('a walk', () => {
  test('seals everything under the current key, and a second walk finds nothing to do', async () => {
    const { fill, walk, count } = newStore();
    const { records } = await fill([OLD], subjectsOf('alice', 150, 3));
    await fill([NEW, OLD], subjectsOf('bob', 20, 1));
    expect(await count()).toEqual({ old: { a: 450, d: 150 }, new: { a: 20, d: 20 } });
    expect(await walk([NEW, OLD])).toEqual(totals({ lookedAt: 640, resealed: 600, current: 40 }));
    expect(await count()).toEqual({ new: { a: 470, d: 170 } });
    expect(await walk([NEW, OLD])).toEqual(totals({ lookedAt: 640, current: 640 }));
    const { store } = await fill([NEW], []);
    expect((await store.accounts.find('alice-7'))?.records).toEqual(
      expect.arrayContaining(records.filter(({ subject }) => subject.unionId === 'alice-7')),
    );
  });

  test('leaves texts that no key opens, and reports the reason', async () => {
    const { fill, walk, count } = newStore();
    await fill([STRANGE], subjectsOf('eve', 2, 1));
    await fill([], subjectsOf('mallory', 1, 2));
    await fill([{ ...newKey('new') }], subjectsOf('trent', 1, 1));
    await fill([OLD], subjectsOf('alice', 1, 1));
    const before = await count();
    const unreadable = new Map([
      ['sealed under key strange, which is not among them', 4],
      ['in the clear', 3],
      ['damaged, or sealed under another key that was called new', 2],
    ]);
    expect(await walk([NEW, OLD])).toEqual(totals({ lookedAt: 11, resealed: 2, unreadable }));
    expect((await count())['strange']).toEqual(before['strange']);
    expect((await count())['']).toEqual(before['']);
  });

  test('touches no other prefix', async () => {
    const [one, other] = [newStore(), newStore()];
    await one.fill([OLD], subjectsOf('alice', 3, 1));
    await other.fill([OLD], subjectsOf('alice', 3, 1));
    expect(await one.walk([NEW, OLD])).toMatchObject({ lookedAt: 6, resealed: 6 });
    expect(await other.count()).toEqual({ old: { a: 3, d: 3 } });
  });

  test('visits every master of a cluster', async () => {
    const { url, nodes, close } = await startRedisCluster();
    onTestFinished(close);
    const { keyPrefix, fill, walk } = newStore(url);
    await fill([OLD], subjectsOf('alice', 100, 1));
    expect(await walk([NEW, OLD])).toEqual(totals({ lookedAt: 200, resealed: 200 }));
    const masters = await Promise.all(nodes.slice(0, 3).map((node) => sealedUnder(node.url, keyPrefix)));
    expect(masters.map((sealed) => Object.keys(sealed))).toEqual([['new'], ['new'], ['new']]);
  });

  test('fails when Redis restarts and keeps its work, and the next walk does the rest', async () => {
    const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'no'] });
    onTestFinished(() => server.kill());
    const { fill, walk, count } = newStore(server.url);
    const { store } = await fill([OLD], subjectsOf('alice', 2_500, 1));
    await store.close();
    let restart: Promise<void> | undefined;
    const failed = walk([NEW, OLD], never, (share) => {
      if (share > 0.3) restart ??= server.kill().then(() => server.restart());
    });
    await expect(failed).rejects.toMatchObject({ code: 'store_unavailable' });
    await restart;
    const rest = await walk([NEW, OLD]);
    expect(rest).toEqual(totals({ lookedAt: 5_000, resealed: rest.resealed, current: 5_000 - rest.resealed }));
    expect(rest.current).toBeGreaterThan(0);
    expect(await count()).toEqual({ new: { a: 2_500, d: 2_500 } });
  });

  test('fails after a lost connection, because another Redis may answer its SCAN now, also if each command succeeds', async () => {
    const server = await startRedis();
    onTestFinished(() => server.kill());
    const proxy = await startFaultProxy(server.port);
    onTestFinished(() => proxy.close());
    const { keyPrefix, fill } = newStore(server.url);
    await fill([OLD], subjectsOf('alice', 2_500, 1));
    const url = `redis://127.0.0.1:${proxy.port}`;
    const rekey = new Rekey({ url, keyPrefix, encryptionKeys: [NEW, OLD], log: silent });
    onTestFinished(() => rekey.close());
    let isCut = false;
    // ioredis sends the commands in flight once more, over a new connection.
    const failed = rekey.walk(never, () => {
      if (isCut) return;
      isCut = true;
      proxy.set({ kind: 'hang' });
      setTimeout(() => proxy.set({ kind: 'none' }), 50);
    });
    const cause = expect.objectContaining({ message: expect.stringContaining('the connection was lost') });
    await expect(failed).rejects.toMatchObject({ code: 'store_unavailable', cause });
    expect(await rekey.walk(never, () => undefined)).toMatchObject({ lookedAt: 5_000 });
  });

  test('that is aborted stops after its batch and keeps its work, and the next walk does the rest', async () => {
    const { fill, walk, count } = newStore();
    await fill([OLD], subjectsOf('alice', 600, 1));
    const ended = new AbortController();
    const first = await walk([NEW, OLD], ended.signal, () => ended.abort());
    expect(first.resealed).toBeGreaterThan(0);
    expect(first.resealed).toBeLessThanOrEqual(2 * 100);
    const rest = await walk([NEW, OLD]);
    expect(rest).toEqual(totals({ lookedAt: 1_200, resealed: 1_200 - first.resealed, current: first.resealed }));
    expect(await count()).toEqual({ new: { a: 600, d: 600 } });
  });

  test('reports its progress from the first batch to the end', async () => {
    const { fill, walk } = newStore();
    await fill([OLD], subjectsOf('alice', 600, 1));
    const shares: number[] = [];
    await walk([NEW, OLD], never, (share) => shares.push(share));
    expect(shares.length).toBeGreaterThanOrEqual(6);
    expect(shares).toEqual([...shares].sort((one, other) => one - other));
    expect(Math.min(...shares)).toBeGreaterThan(0);
    expect(Math.max(...shares)).toBeLessThanOrEqual(1);
  });

  test('fails with an error that shows no secret when Redis is unreachable', async () => {
    const rekey = new Rekey({ url: 'redis://:canary@127.0.0.1:1', keyPrefix: 'x', encryptionKeys: [NEW], log: silent });
    onTestFinished(() => rekey.close());
    const error = await rekey.walk(never, () => undefined).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'store_unavailable' });
    expect(String(error)).not.toContain('canary');
  });
});
