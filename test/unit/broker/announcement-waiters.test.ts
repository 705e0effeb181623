import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { AnnouncementWaiters } from '../../../src/broker/renewal.ts';
import { systemClock } from '../../../src/token/clock.ts';
import type { Announcement } from '../../../src/token/ports.ts';
import { subjectId } from '../../../src/token/subject.ts';

const LONG_MS = 60_000;
const ALICE = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });
const BOB = subjectId({ app: 'default', unionId: 'bob', uniqueId: 'phone' });
const SAVED: Announcement = { kind: 'saved', id: ALICE, generation: 7 };

function open() {
  const listeners: ((announcement: Announcement) => void)[] = [];
  const feed = {
    subscribe: (listener: (typeof listeners)[number]) => void listeners.push(listener),
    completeSince: () => 0,
  };
  const board = new AnnouncementWaiters(feed, systemClock);
  const announce = (announcement: Announcement) => {
    for (const listener of listeners) listener(announcement);
  };
  return { board, announce, listeners };
}

describe('the announcement board', () => {
  test('tells everybody who waits for a subject what is announced about it', async () => {
    const { board, announce } = open();
    const waiting = [board.next(ALICE, LONG_MS), board.next(ALICE, LONG_MS), board.next(ALICE, LONG_MS)];
    announce(SAVED);
    expect(await Promise.all(waiting)).toEqual([SAVED, SAVED, SAVED]);
  });

  test('tells of failures and logouts too, word for word', async () => {
    const { board, announce } = open();
    const failed: Announcement = { kind: 'failed', id: ALICE, generation: 7, code: 'vendor_timeout' };
    const first = board.next(ALICE, LONG_MS);
    announce(failed);
    expect(await first).toBe(failed);
    const second = board.next(ALICE, LONG_MS);
    announce({ kind: 'removed', id: ALICE, generation: 8 });
    expect(await second).toMatchObject({ kind: 'removed', generation: 8 });
  });

  test('tells the next announcement alone, none from before and none about others', async () => {
    const { board, announce } = open();
    announce({ ...SAVED, generation: 1 });
    const alice = board.next(ALICE, LONG_MS);
    announce({ ...SAVED, id: BOB, generation: 2 });
    announce({ ...SAVED, generation: 3 });
    announce({ ...SAVED, generation: 4 });
    expect(await alice).toMatchObject({ id: ALICE, generation: 3 });
  });

  test('lets nobody wait longer than they are willing to', async () => {
    const { board, announce } = open();
    const patient = board.next(ALICE, LONG_MS);
    expect(await board.next(ALICE, 1)).toBeUndefined();
    announce(SAVED);
    expect(await patient).toBe(SAVED);
  });

  test('can be asked again in the moment it answers', async () => {
    const { board, announce } = open();
    const twice = board.next(ALICE, LONG_MS).then(() => board.next(ALICE, LONG_MS));
    announce(SAVED);
    await new Promise(setImmediate);
    announce({ ...SAVED, generation: 8 });
    expect(await twice).toMatchObject({ generation: 8 });
  });

  test('leaves no timer behind, and listens to the store once for all', async () => {
    const { board, announce, listeners } = open();
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const waiting = Array.from({ length: 10 }, () => board.next(ALICE, LONG_MS));
    expect(vi.getTimerCount()).toBe(10);
    announce(SAVED);
    await Promise.all(waiting);
    expect(vi.getTimerCount()).toBe(0);
    expect(listeners).toHaveLength(1);
  });
});
