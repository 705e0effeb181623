import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { describe, expect, type TestContext, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import type { Announcement, StoreHistory } from '../../../../src/token/ports.ts';
import { type Subject, subjectId } from '../../../../src/token/subject.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { eventually } from '../../../support/eventually.ts';
import { openRedisStore, saveToken } from '../../../support/filled-store.ts';
import { recordingObserver } from '../../../support/recording-observer.ts';
import { startRedis } from '../../../support/redis-server.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
/** The stream of changes keeps this many. */
const MAX_CHANGES = 256;

/** A Redis of its own, and the stores of two replicas. Only the first one writes. */
async function openStores({ onTestFinished }: TestContext) {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const keyPrefix = `loss-${randomUUID()}`;
  const open = async () => {
    const log = captureLog('error');
    const errors = () => log.lines().map(({ msg }) => msg);
    const { observer, told } = recordingObserver();
    const store = await openRedisStore(server.url, keyPrefix, [], { log: log.logger, observer });
    onTestFinished(() => store.close());
    const returns: StoreHistory[] = [];
    store.health.onReturn((history) => void returns.push(history));
    const heard = new Set<Announcement['kind']>();
    store.announcements.subscribe(({ kind }) => void heard.add(kind));
    await eventually(() => expect(store.announcements.completeSince()).toBeDefined());
    return { store, returns, heard, errors, told };
  };
  const [writer, reader] = [await open(), await open()];
  const admin = new Redis(server.url);
  admin.on('error', () => undefined);
  onTestFinished(() => admin.disconnect());
  const replicas = [writer, reader];
  /** Waits until both replicas have heard of the last change. */
  const heardAll = (last: Announcement['kind']) => eventually(() => replicas.every(({ heard }) => heard.has(last)));
  return { server, admin, writer, reader, replicas, heardAll, keys: new Keys(keyPrefix) };
}

type Replica = Awaited<ReturnType<typeof openStores>>['writer'];

/** Expects that the replica has reported this loss once, and that it reports nothing more. */
async function expectLoss({ store, returns, errors, told }: Replica, history: 'lost' | 'went_back'): Promise<void> {
  await eventually(() => expect(returns).toContain(history), { timeoutMs: 10_000 });
  await new Promise((resolve) => setTimeout(resolve, 2_200));
  expect(returns.filter((one) => one !== 'same')).toEqual([history]);
  expect(told('storeLostData')).toEqual([[history]]);
  expect(errors()).toEqual([expect.stringContaining(history === 'lost' ? 'has lost its data' : 'went back in time')]);
  expect(store.losses()).toMatchObject([{ history }]);
  expect(Math.abs((store.losses()[0]?.at ?? 0) - systemClock.now())).toBeLessThan(15_000);
}

async function expectNoLoss({ store, returns, errors, told }: Replica): Promise<void> {
  await eventually(() => expect(returns).toContain('same'));
  await new Promise((resolve) => setTimeout(resolve, 2_200));
  expect(new Set(returns)).toEqual(new Set(['same']));
  expect([store.losses(), errors(), told('storeLostData')]).toEqual([[], [], []]);
}

// Each test waits for seconds, at a Redis of its own. So they wait at the same time.
describe.concurrent('each replica, also one that only heard of the changes, reports of a Redis that has restarted', () => {
  test.for(['', ', and has new changes since'])(
    'from an older snapshot%s: that it went back',
    async (changes, context) => {
      const { server, admin, writer, replicas, heardAll, keys } = await openStores(context);
      await saveToken(writer.store, SUBJECT);
      await admin.save();
      await writer.store.terminals.remove(subjectId(SUBJECT));
      await heardAll('removed');
      await server.restart();
      if (changes) await eventually(() => admin.xadd(keys.changes(0), '*', '', ''));
      await Promise.all(replicas.map((replica) => expectLoss(replica, 'went_back')));
      expect((await writer.store.terminals.read(subjectId(SUBJECT))).record).toBeDefined();
    },
  );

  test.for([
    ['login', ({ store }: Replica) => saveToken(store, { ...SUBJECT, uniqueId: 'tablet' })],
    ['logout', ({ store }: Replica) => store.terminals.remove(subjectId(SUBJECT))],
    ['erasure', ({ store }: Replica) => store.accounts.erase(SUBJECT.unionId)],
  ] as const)(
    'from an older snapshot, which lacks the %s that nobody has heard of: that it went back',
    async ([, change], context) => {
      const { server, admin, writer, heardAll } = await openStores(context);
      await saveToken(writer.store, SUBJECT);
      await heardAll('saved');
      await admin.save();
      await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await change(writer);
      await server.kill();
      await server.restart();
      await expectLoss(writer, 'went_back');
    },
  );

  test('without its data: that it has lost it', async (context) => {
    const { server, writer, replicas, heardAll } = await openStores(context);
    await saveToken(writer.store, SUBJECT);
    await heardAll('saved');
    await server.restart();
    await Promise.all(replicas.map((replica) => expectLoss(replica, 'lost')));
  });

  test('with all of its data: that it is the same', async (context) => {
    const { server, admin, writer, replicas, heardAll } = await openStores(context);
    await saveToken(writer.store, SUBJECT);
    await writer.store.accounts.erase('bob');
    await heardAll('erased');
    await admin.save();
    await server.restart();
    await Promise.all(replicas.map(expectNoLoss));
  });

  test('before anything was ever stored: that it is the same', async (context) => {
    const { server, replicas } = await openStores(context);
    await server.restart();
    await Promise.all(replicas.map(expectNoLoss));
  });
});

test.concurrent('a Redis that has dropped the last known change, because many others came after it, is the same', async (context) => {
  const { admin, writer, replicas, heardAll, keys } = await openStores(context);
  await saveToken(writer.store, SUBJECT);
  await heardAll('saved');
  const changes = admin.multi();
  for (let number = 0; number < MAX_CHANGES + 50; number += 1) {
    changes.xadd(keys.changes(0), 'MAXLEN', MAX_CHANGES, '*', '', '');
  }
  await changes.exec();
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal');
  await Promise.all(replicas.map(expectNoLoss));
});

test.concurrent('a replica keeps the last loss of each kind', async (context) => {
  const { server, admin, writer, reader, heardAll } = await openStores(context);
  const keeps = (...kinds: StoreHistory[]) =>
    eventually(() => expect(reader.store.losses().map(({ history }) => history)).toEqual(kinds));
  await saveToken(writer.store, SUBJECT);
  await heardAll('saved');
  await admin.flushall();
  await keeps('lost');
  await saveToken(writer.store, SUBJECT);
  await admin.save();
  await writer.store.terminals.remove(subjectId(SUBJECT));
  await heardAll('removed');
  await server.restart();
  await keeps('lost', 'went_back');
  const [{ at: firstLost = 0 } = {}] = reader.store.losses();
  await eventually(() => admin.flushall());
  await eventually(() => expect(reader.store.losses()[0]?.at).toBeGreaterThan(firstLost));
  await keeps('lost', 'went_back');
});
