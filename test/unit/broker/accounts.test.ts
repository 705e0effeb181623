import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** Replicas in one process, on one store and one vendor. */
function replicas(count: number, perMinute = 60) {
  const watched = watchedStore(createMemoryStore({ clock: systemClock, terminalsPerAccount: 3 }));
  const { store } = watched;
  const vendor = new ScriptedLogin();
  const all = Array.from({ length: count }, () => brokerParts({ store, vendor, perMinute }));
  const read = async (
    replica: number,
    options: { refused?: string; subject?: Subject; region?: string; at?: number } = {},
  ) => {
    const { subject = SUBJECT, region = 'CN', refused, at = systemClock.now() } = options;
    const request = { subject, region, sessionIssuedAt: at, refused };
    const parts = all[replica % count];
    if (!parts) throw new RangeError('no replica');
    return parts.broker.read(request);
  };
  return { store, watched, vendor, all, read };
}

describe('a refused token', () => {
  test('reported forty times at once on two replicas costs one login, and all get its token', async () => {
    const { vendor, read } = replicas(2);
    const { etag } = await read(0);
    await read(1);
    vendor.latencyMs = 100;
    const answers = await Promise.all(Array.from({ length: 40 }, (_, number) => read(number, { refused: etag })));
    expect(vendor.requests).toHaveLength(2);
    expect(new Set(answers.map((answer) => answer.etag)).size).toBe(1);
    expect(answers[0]?.etag).not.toBe(etag);
  });

  test('reported late is answered with the token that has replaced it, also by a replica that had not heard', async () => {
    const { vendor, store, read } = replicas(2);
    const { etag } = await read(0);
    await read(1);
    store.announcements.completeSince = () => 0;
    const newer = await read(0, { refused: etag });
    expect((await read(1, { refused: etag })).etag).toBe(newer.etag);
    expect((await read(0, { refused: '"never-seen"' })).etag).toBe(newer.etag);
    expect(vendor.requests).toHaveLength(2);
  });

  test('reported in a loop meets a limit with a time to wait, and nobody else does', async () => {
    const { vendor, read } = replicas(2);
    let { etag } = await read(0);
    const codes: unknown[] = [];
    for (let round = 0; round < 10; round += 1) {
      const answer = await read(round, { refused: etag }).catch((error) => error);
      codes.push(answer.code);
      etag = answer.etag ?? etag;
      if (answer.code) expect(answer.retryAfter).toBeGreaterThan(0);
    }
    expect(codes.filter((code) => code === undefined)).toHaveLength(3);
    expect(codes.slice(3)).toEqual(Array(7).fill('rate_limited'));
    expect(vendor.requests).toHaveLength(4);
    expect((await read(0)).etag).toBe(etag);
    const tablet = await read(1, { subject: { ...SUBJECT, uniqueId: 'tablet' } });
    expect((await read(0, { subject: { ...SUBJECT, uniqueId: 'tablet' }, refused: tablet.etag })).etag).toBeTruthy();
    expect(vendor.requests).toHaveLength(6);
  });

  test('is replaced in spite of a store that cannot count', async () => {
    const { watched, read } = replicas(1);
    const { etag } = await read(0);
    watched.down.add('take');
    for (let round = 0; round < 5; round += 1) expect((await read(0, { refused: etag })).etag).not.toBe(etag);
  });

  test('is never handed out again when its replacement fails', async () => {
    const { vendor, read } = replicas(1);
    const { etag } = await read(0);
    vendor.failure = new Error('down');
    await expect(read(0, { refused: etag })).rejects.toThrow('down');
  });
});

describe('the logins of an account', () => {
  test('are limited over all replicas and terminals', async () => {
    const { vendor, read, all } = replicas(2, 4);
    const outcomes: unknown[] = [];
    for (let round = 0; round < 8; round += 1) {
      const answer = await read(round).catch((error) => error);
      outcomes.push(answer.code ?? 'ok');
      await all[round % 2]?.accounts.logOut(SUBJECT);
    }
    expect(outcomes).toEqual([...Array(4).fill('ok'), ...Array(4).fill('rate_limited')]);
    expect(vendor.requests).toHaveLength(4);
    expect((await read(0, { subject: { ...SUBJECT, unionId: 'bob' } })).etag).toBeTruthy();
  });

  test('are for no more terminals than allowed', async () => {
    const { vendor, read, all } = replicas(1);
    const subjects = ['one', 'two', 'three', 'four'].map((uniqueId) => ({ ...SUBJECT, uniqueId }));
    for (const subject of subjects.slice(0, 3)) await read(0, { subject });
    await expect(read(0, { subject: subjects[3] ?? SUBJECT })).rejects.toMatchObject({ code: 'terminal_limit' });
    expect(vendor.requests).toHaveLength(3);
    await all[0]?.accounts.logOut(subjects[0] ?? SUBJECT);
    expect((await read(0, { subject: subjects[3] ?? SUBJECT })).etag).toBeTruthy();
  });

  test('are made with the country of the first success', async () => {
    const { vendor, read } = replicas(2);
    await read(0, { region: 'CN' });
    await read(1, { region: 'US', subject: { ...SUBJECT, uniqueId: 'tablet' } });
    expect(vendor.requests.map(({ region }) => region)).toEqual(['CN', 'CN']);
  });
});

describe('a logout', () => {
  test('is known at once to its own replica and, by announcement, to the others', async () => {
    const { vendor, all, read } = replicas(2);
    const { etag } = await read(0);
    await read(1);
    await all[0]?.accounts.logOut(SUBJECT);
    const [one, other] = await Promise.all([read(0), read(1)]);
    expect(one.etag).not.toBe(etag);
    expect(other.etag).toBe(one.etag);
    expect(vendor.requests).toHaveLength(2);
  });

  test('wins over a renewal in flight: nothing stays stored, and the next read logs in anew', async () => {
    const { vendor, store, all, read } = replicas(2);
    vendor.latencyMs = 150;
    const first = read(0).catch((error) => error);
    await eventually(() => vendor.requests.length === 1, { everyMs: 5 });
    await all[1]?.accounts.logOut(SUBJECT);
    expect(await first).toMatchObject({ code: 'session_forbidden' });
    expect((await store.terminals.read(ID)).record).toBeUndefined();
    await read(0);
    expect(vendor.requests).toHaveLength(2);
    expect(vendor.mostConcurrent).toBe(1);
  });
});

describe('an erasure', () => {
  test('refuses older sessions on every replica, and takes newer ones', async () => {
    const { vendor, all, read } = replicas(2);
    const before = systemClock.now() - 1_000;
    await read(0, { at: before });
    await read(1, { at: before });
    await all[0]?.accounts.erase('alice');
    for (const replica of [0, 1]) {
      await expect(read(replica, { at: before })).rejects.toMatchObject({ code: 'session_invalid' });
    }
    expect(vendor.requests).toHaveLength(1);
    const after = systemClock.now() + 1_000;
    await read(0, { at: after });
    await read(1, { at: after });
    for (const replica of [0, 1]) {
      await expect(read(replica, { at: before })).rejects.toMatchObject({ code: 'session_invalid' });
    }
    expect(vendor.requests).toHaveLength(2);
  });

  test('refuses a session that does not say when it was issued', async () => {
    const { all } = replicas(1);
    await all[0]?.accounts.erase('alice');
    const read = all[0]?.broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: undefined });
    await expect(read).rejects.toMatchObject({ code: 'session_invalid' });
  });

  test('takes every terminal of the account, in memory too', async () => {
    const { all, read, store } = replicas(1);
    const tablet = { ...SUBJECT, uniqueId: 'tablet' };
    await read(0);
    await read(0, { subject: tablet });
    await read(0, { subject: { ...SUBJECT, unionId: 'bob' } });
    await all[0]?.accounts.erase('alice');
    expect(all[0]?.cache.getStale(ID)).toBeUndefined();
    expect(all[0]?.cache.getStale(subjectId(tablet))).toBeUndefined();
    expect(all[0]?.cache.getStale(subjectId({ ...SUBJECT, unionId: 'bob' }))).toBeDefined();
    expect(await store.accounts.find('alice')).toBeUndefined();
  });
});
