import { describe, expect, test } from 'vitest';
import { TokenCache } from '../../../src/broker/token-cache.ts';
import type { Announcement } from '../../../src/token/ports.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { accountOf, type Subject, subjectId } from '../../../src/token/subject.ts';
import { TestClock } from '../../support/test-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

function open(maxBytes = 2 ** 20) {
  const clock = new TestClock();
  const listeners: ((announcement: Announcement) => void)[] = [];
  const state = { since: clock.now() as number | undefined };
  const cache = new TokenCache({
    clock,
    maxBytes,
    announcements: { subscribe: (listener) => void listeners.push(listener), completeSince: () => state.since },
    renewFrom: (record) => record.token.expiresAt,
  });
  const record = (generation: number, subject = SUBJECT): TokenRecord => {
    const token = { fields: { accessToken: `${generation}` }, issuedAt: clock.now(), expiresAt: clock.now() + 600_000 };
    return { subject, region: 'CN', token, generation, read: false, unreadRenewals: 0 };
  };
  const announce = (announcement: Announcement) => {
    for (const listener of listeners) listener(announcement);
  };
  return { cache, clock, record, announce, state };
}

describe('the token cache', () => {
  test('trusts an entry for a minute while announcements arrive, and for two seconds otherwise', () => {
    const { cache, clock, record, state } = open();
    cache.put(record(1), clock.now(), undefined);
    clock.advance(59_999);
    expect(cache.getFresh(ID, clock.now())).toBeDefined();
    clock.advance(1);
    expect(cache.getFresh(ID, clock.now())).toBeUndefined();
    state.since = undefined;
    cache.put(record(1), clock.now(), undefined);
    clock.advance(1_999);
    expect(cache.getFresh(ID, clock.now())).toBeDefined();
    clock.advance(1);
    expect(cache.getFresh(ID, clock.now())).toBeUndefined();
  });

  test('does not trust what it learnt before a gap in the announcements', () => {
    const { cache, clock, record, state } = open();
    cache.put(record(1), clock.now(), undefined);
    clock.advance(10_000);
    state.since = clock.now();
    expect(cache.getFresh(ID, clock.now())).toBeUndefined();
    cache.put(record(1), clock.now(), undefined);
    clock.advance(10_000);
    expect(cache.getFresh(ID, clock.now())).toBeDefined();
  });

  test('keeps an entry it no longer trusts', () => {
    const { cache, clock, record, announce } = open();
    cache.put(record(1), clock.now(), undefined);
    announce({ kind: 'saved', id: ID, generation: 2 });
    expect(cache.getFresh(ID, clock.now())).toBeUndefined();
    expect(cache.getStale(ID)?.served.record.generation).toBe(1);
  });

  test('goes on trusting the generation that is announced', () => {
    const { cache, clock, record, announce } = open();
    cache.put(record(2), clock.now(), undefined);
    announce({ kind: 'saved', id: ID, generation: 2 });
    announce({ kind: 'failed', id: ID, generation: 3, code: 'vendor_timeout' });
    expect(cache.getFresh(ID, clock.now())).toBeDefined();
  });

  test('drops a logged-out token, also one that a late read brings back', () => {
    const { cache, clock, record, announce } = open();
    const late = record(1);
    cache.put(late, clock.now(), undefined);
    announce({ kind: 'removed', id: ID, generation: 5 });
    expect(cache.getStale(ID)).toBeUndefined();
    cache.put(late, clock.now(), undefined);
    expect(cache.getStale(ID)).toBeUndefined();
    cache.put(record(6), clock.now(), undefined);
    expect(cache.getFresh(ID, clock.now())).toBeDefined();
  });

  test('shows in a slot the newest entry of a subject for as long as it holds one', () => {
    const { cache, clock, record, announce } = open();
    const { slot, ...first } = cache.put(record(2), clock.now(), undefined);
    expect(slot.entry).toMatchObject(first);
    cache.put(record(1), clock.now(), undefined);
    expect(slot.entry?.served.record.generation).toBe(2);
    cache.renew(record(3), ID);
    expect(slot.entry).toBe(cache.getStale(ID));
    expect(slot.entry?.served.record.generation).toBe(3);
    announce({ kind: 'removed', id: ID, generation: 3 });
    expect(slot.entry).toBeUndefined();
    const second = cache.put(record(4), clock.now(), undefined);
    announce({ kind: 'erased', account: accountOf(ID), generation: 5 });
    expect(second.slot.entry).toBeUndefined();
  });

  test('shows nothing in the slot of a subject whose entry was pushed out', () => {
    const { cache, clock, record } = open(16_000);
    const { slot } = cache.put(record(1), clock.now(), undefined);
    const others = Array.from({ length: 20 }, (_, number) => ({ ...SUBJECT, uniqueId: `phone-${number}` }));
    const held = others.map((subject) => {
      cache.put(record(1, subject), clock.now(), undefined);
      return slot.entry !== undefined;
    });
    expect(held.lastIndexOf(true)).toBeGreaterThanOrEqual(4);
    expect(held.indexOf(false)).toBe(held.lastIndexOf(true) + 1);
    expect(held.at(-1)).toBe(false);
  });

  test('never lays an older token over a newer one', () => {
    const { cache, clock, record } = open();
    cache.put(record(2), clock.now(), undefined);
    expect(cache.put(record(1), clock.now(), undefined).served.record.generation).toBe(2);
    expect(cache.getFresh(ID, clock.now())?.served.record.generation).toBe(2);
  });

  test('prepares the body once per token', () => {
    const { cache, clock, record } = open();
    const one = record(1);
    expect(cache.put(one, clock.now(), undefined).served).toBe(cache.put({ ...one }, clock.now(), undefined).served);
  });

  test('takes no memory for renewed tokens that nobody reads here', () => {
    const { cache, clock, record } = open();
    cache.renew(record(1), ID);
    expect(cache.getStale(ID)).toBeUndefined();
    cache.put(record(1), clock.now(), undefined);
    cache.renew(record(2), ID);
    expect(cache.getStale(ID)?.served.record.generation).toBe(2);
  });

  test('holds no more bytes than it may, and pushes out what was read longest ago', () => {
    const { cache, clock, record } = open(16_000);
    const subjects = Array.from({ length: 100 }, (_, number) => ({ ...SUBJECT, uniqueId: `phone-${number}` }));
    for (const subject of subjects) cache.put(record(1, subject), clock.now(), undefined);
    const held = subjects.filter((subject) => cache.getStale(subjectId(subject)));
    expect(held.length).toBeGreaterThan(5);
    expect(held.length).toBeLessThan(12);
    expect(held).toEqual(subjects.slice(-held.length));
  });
});
