import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { AnnouncementWaiters } from '../../../src/broker/leased-logins.ts';
import { systemClock } from '../../../src/token/clock.ts';
import type { Announcement } from '../../../src/token/ports.ts';
import { subjectId } from '../../../src/token/subject.ts';

const LONG_MS = 60_000;
const ALICE = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });
const BOB = subjectId({ app: 'default', unionId: 'bob', uniqueId: 'phone' });
const SAVED: Announcement = { kind: 'saved', id: ALICE, generation: 7 };

function createWaiters() {
  const listeners: ((announcement: Announcement) => void)[] = [];
  const feed = {
    subscribe: (listener: (typeof listeners)[number]) => void listeners.push(listener),
    completeSince: () => 0,
  };
  const waiters = new AnnouncementWaiters(feed, systemClock);
  const announce = (announcement: Announcement) => {
    for (const listener of listeners) listener(announcement);
  };
  return { waiters, announce, listeners };
}

describe('the announcement waiters', () => {
  test('give the announcement of a subject to all its waiters', async () => {
    const { waiters, announce } = createWaiters();
    const waiting = [waiters.next(ALICE, LONG_MS), waiters.next(ALICE, LONG_MS), waiters.next(ALICE, LONG_MS)];
    announce(SAVED);
    expect(await Promise.all(waiting)).toEqual([SAVED, SAVED, SAVED]);
  });

  test('give failures and logouts to a waiter unchanged', async () => {
    const { waiters, announce } = createWaiters();
    const failed: Announcement = { kind: 'failed', id: ALICE, generation: 7, code: 'vendor_timeout' };
    const first = waiters.next(ALICE, LONG_MS);
    announce(failed);
    expect(await first).toBe(failed);
    const second = waiters.next(ALICE, LONG_MS);
    announce({ kind: 'removed', id: ALICE, generation: 8 });
    expect(await second).toMatchObject({ kind: 'removed', generation: 8 });
  });

  test('give a waiter only the next announcement about its subject', async () => {
    const { waiters, announce } = createWaiters();
    announce({ ...SAVED, generation: 1 });
    const alice = waiters.next(ALICE, LONG_MS);
    announce({ ...SAVED, id: BOB, generation: 2 });
    announce({ ...SAVED, generation: 3 });
    announce({ ...SAVED, generation: 4 });
    expect(await alice).toMatchObject({ id: ALICE, generation: 3 });
  });

  test('end each wait at its own timeout', async () => {
    const { waiters, announce } = createWaiters();
    const longWait = waiters.next(ALICE, LONG_MS);
    expect(await waiters.next(ALICE, 1)).toBeUndefined();
    announce(SAVED);
    expect(await longWait).toBe(SAVED);
  });

  test('accept a new wait as soon as the previous one ends', async () => {
    const { waiters, announce } = createWaiters();
    const secondWait = waiters.next(ALICE, LONG_MS).then(() => waiters.next(ALICE, LONG_MS));
    announce(SAVED);
    await new Promise(setImmediate);
    announce({ ...SAVED, generation: 8 });
    expect(await secondWait).toMatchObject({ generation: 8 });
  });

  test('leave no timer behind, and subscribe to the store once', async () => {
    const { waiters, announce, listeners } = createWaiters();
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const waiting = Array.from({ length: 10 }, () => waiters.next(ALICE, LONG_MS));
    expect(vi.getTimerCount()).toBe(10);
    announce(SAVED);
    await Promise.all(waiting);
    expect(vi.getTimerCount()).toBe(0);
    expect(listeners).toHaveLength(1);
  });
});
