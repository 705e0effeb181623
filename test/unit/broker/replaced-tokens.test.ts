import { expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import type { Clock } from '../../../src/token/clock.ts';
import type { Subject } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';
import { accessTokenOf } from '../../support/served-token.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

/** From an announcement until the token is read. */
const AFTER_MS = 100;

/** Two replicas with one store. Only the commands and the timers of the second one are counted. */
function createReplicas() {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const vendor = new ScriptedLogin(clock);
  const watched = watchedStore(store);
  const timers: number[] = [];
  /** While it is set, the next turn of the event loop waits for the test. */
  const turn: { held?: (() => void)[] } = {};
  const counting: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    random: () => clock.random(),
    nextTurn: (callback) => {
      if (turn.held) turn.held.push(callback);
      else clock.nextTurn(callback);
    },
    setTimer: (callback, ms) => {
      timers.push(ms);
      return clock.setTimer(callback, ms);
    },
  };
  const other = brokerParts({ clock, store, vendor });
  const replica = brokerParts({ clock: counting, store: watched.store, vendor });
  const read = async ({ broker }: typeof replica, refused?: string, uniqueId = 'phone') => {
    const subject: Subject = { app: 'default', unionId: 'alice', uniqueId };
    const reading = broker.read({ subject, region: 'CN', sessionIssuedAt: clock.now(), refused });
    await pass(1);
    return reading;
  };
  /** The commands `read` of the second replica, and its timers, while `work` is done and for a second after it. */
  const costOf = async (work: () => Promise<unknown>) => {
    const before = watched.calls('read');
    timers.length = 0;
    await work();
    await pass(1_000);
    return { reads: watched.calls('read') - before, timers: timers.filter((ms) => ms === AFTER_MS).length };
  };
  return { pass, other, replica, read, watched, costOf, turn };
}

test('a replica has the token of a login of another one before the store fails', async () => {
  const { pass, other, replica, read, watched } = createReplicas();
  const { etag } = await read(replica);
  await read(other);
  await read(other, etag);
  await pass(200);
  for (const method of ['read', 'acquire', 'restore', 'markRead'] as const) watched.down.add(method);
  expect(accessTokenOf(await read(replica))).toBe('token-2');
});

test('a replica reads each replaced token once, and all of them with one timer', async () => {
  const { other, replica, read, costOf } = createReplicas();
  let [phone, tablet] = [await read(replica), await read(replica, undefined, 'tablet')];
  const renew = async () => {
    phone = await read(other, phone.etag);
    tablet = await read(other, tablet.etag, 'tablet');
  };
  for (let round = 0; round < 2; round += 1) expect(await costOf(renew)).toEqual({ reads: 2, timers: 1 });
});

test('a replica reads no token that no app has asked it for', async () => {
  const { other, read, costOf } = createReplicas();
  expect(await costOf(() => read(other))).toEqual({ reads: 0, timers: 0 });
});

test('a replica does not read the token of its own login again', async () => {
  const { replica, read, costOf } = createReplicas();
  const { etag } = await read(replica);
  // The report of a refused token itself reads the store.
  expect((await costOf(() => read(replica, etag))).reads).toBe(1);
});

test('requests have their turn between two reads, although a store that is down refuses them at once', async () => {
  const { pass, other, replica, read, watched, turn } = createReplicas();
  const names = Array.from({ length: 20 }, (_, number) => `phone-${number}`);
  const tokens = [];
  for (const name of names) tokens.push(await read(replica, undefined, name));
  await pass(1_000);
  for (const [at, name] of names.entries()) await read(other, tokens[at]?.etag, name);
  watched.down.add('read');
  const held: (() => void)[] = [];
  turn.held = held;
  const before = watched.calls('read');
  for (let reads = 1; reads <= names.length; reads += 1) {
    await pass(AFTER_MS);
    expect(watched.calls('read') - before).toBe(reads);
    expect(held).toHaveLength(1);
    held.pop()?.();
  }
});
