import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/token/clock.ts';
import type { Announcement, Lease, TokenStore } from '../../src/token/ports.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import { type Subject, type SubjectId, subjectId } from '../../src/token/subject.ts';
import { eventually } from '../support/eventually.ts';

const LEASE_MS = 10_000;
const SHORT_LEASE_MS = 60;
let subjects = 0;

function newSubject(): { subject: Subject; id: SubjectId } {
  subjects += 1;
  const subject = { app: 'default', unionId: `account-${subjects}-${systemClock.random()}`, uniqueId: 'phone' };
  return { subject, id: subjectId(subject) };
}

function recordOf(subject: Subject, generation: number, lifeMs = 60_000, extra = {}): TokenRecord {
  const issuedAt = systemClock.now();
  const expiresAt = issuedAt + lifeMs;
  const fields = {
    accessId: '-9223371996052586423',
    accessToken: `${generation.toString(16).padStart(16, '0')}`.repeat(8),
    expireTime: String(Math.floor(expiresAt / 1000)),
    terminalId: '-9223371996052586423',
    expand: '{"area":"cn","regRegion":"CN"}',
    expend: '{"area":"cn","regRegion":"CN"}',
    ...extra,
  };
  const token = { fields, issuedAt, expiresAt };
  return { subject, region: 'CN', token, generation, read: true, unreadRenewals: 0 };
}

async function acquired(store: TokenStore, id: SubjectId, durationMs = LEASE_MS): Promise<Lease> {
  const answer = await store.acquire(id, durationMs);
  if (!answer.lease) throw new Error(`the lease is held for ${answer.heldForMs} ms`);
  return answer.lease;
}

async function saved(store: TokenStore, subject: Subject, id: SubjectId, dueInMs = 50_000, lifeMs = 60_000) {
  const lease = await acquired(store, id);
  const record = recordOf(subject, lease.generation, lifeMs);
  expect(await store.save(lease, record, systemClock.now() + dueInMs)).toBe(true);
  return { lease, record };
}

/** Claims everything that is due and says whether `id` was among it. */
async function claims(store: TokenStore, id: SubjectId, visibilityMs = LEASE_MS): Promise<boolean> {
  return (await store.claimDue(1_000, visibilityMs)).ids.includes(id);
}

export function tokenStoreContract(name: string, open: () => Promise<TokenStore>): void {
  describe(`the token store in ${name}`, () => {
    let store: TokenStore;
    const heard: Announcement[] = [];

    beforeAll(async () => {
      store = await open();
      store.subscribe((announcement) => heard.push(announcement));
      await eventually(() => store.announcedSince() !== undefined);
    });
    afterAll(() => store.close());

    test('has nothing for a subject nobody logged in', async () => {
      expect(await store.read(newSubject().id)).toBeUndefined();
    });

    test('gives back exactly what was saved', async () => {
      const { subject, id } = newSubject();
      const lease = await acquired(store, id);
      const more = { nick: '用户 "42"\n', empty: '', digits: '00000000000000000000ff', big: '9223372036854775808' };
      const record = recordOf(subject, lease.generation, 60_000, more);
      await store.save(lease, record, systemClock.now() + 1_000);
      expect(await store.read(id)).toEqual(record);
    });

    test('hands the lease of one subject to one owner among fifty', async () => {
      const { id } = newSubject();
      const answers = await Promise.all(Array.from({ length: 50 }, () => store.acquire(id, LEASE_MS)));
      expect(answers.filter(({ lease }) => lease)).toHaveLength(1);
    });

    test('says how long a lease is still held', async () => {
      const { id } = newSubject();
      await acquired(store, id);
      const answer = await store.acquire(id, LEASE_MS);
      if (answer.lease) throw new Error('two owners');
      expect(answer.heldForMs).toBeGreaterThan(LEASE_MS / 2);
      expect(answer.heldForMs).toBeLessThanOrEqual(LEASE_MS);
    });

    test('hands the current record out with the lease', async () => {
      const { subject, id } = newSubject();
      const { record } = await saved(store, subject, id);
      expect(await store.acquire(id, LEASE_MS)).toMatchObject({ current: record });
    });

    test('hands out a larger generation each time, across saves, releases and logouts', async () => {
      const { subject, id } = newSubject();
      const generations: number[] = [];
      for (let round = 0; round < 10; round += 1) {
        const lease = await acquired(store, id);
        generations.push(lease.generation);
        if (round % 3 === 0) await store.save(lease, recordOf(subject, lease.generation), systemClock.now() + 9_000);
        if (round % 3 === 1) await store.release(lease, undefined);
        if (round % 3 === 2) await store.release(lease, undefined).then(() => store.remove(id));
      }
      expect(generations).toEqual([...new Set(generations)].sort((one, other) => one - other));
    });

    test('gives a lease on when it ran out, and not to its late owner again', async () => {
      const { id } = newSubject();
      const first = await acquired(store, id, SHORT_LEASE_MS);
      const second = await eventually(() => acquired(store, id));
      expect(await store.extend(first)).toBe(false);
      await store.release(first, undefined);
      expect(await store.extend(second)).toBe(true);
    });

    test('keeps a lease for as long as it is extended', async () => {
      const { id } = newSubject();
      const lease = await acquired(store, id, 400);
      const until = systemClock.now() + 1_000;
      while (systemClock.now() < until) {
        expect(await store.extend(lease)).toBe(true);
        expect((await store.acquire(id, LEASE_MS)).lease).toBeUndefined();
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });

    test('refuses the write of an owner whose lease was handed on, before the next one wrote', async () => {
      const { subject, id } = newSubject();
      const frozen = await acquired(store, id, SHORT_LEASE_MS);
      const next = await eventually(() => acquired(store, id));
      expect(await store.save(frozen, recordOf(subject, frozen.generation), systemClock.now() + 9_000)).toBe(false);
      expect(await store.read(id)).toBeUndefined();
      expect(await store.extend(next)).toBe(true);
    });

    test('refuses the write of an owner whose lease was handed on, after the next one wrote', async () => {
      const { subject, id } = newSubject();
      const frozen = await acquired(store, id, SHORT_LEASE_MS);
      const next = await eventually(() => acquired(store, id));
      const record = recordOf(subject, next.generation);
      expect(await store.save(next, record, systemClock.now() + 9_000)).toBe(true);
      expect(await store.save(frozen, recordOf(subject, frozen.generation), systemClock.now() + 9_000)).toBe(false);
      expect(await store.read(id)).toEqual(record);
    });

    test('refuses the write of an owner whose lease was handed on to one who failed', async () => {
      const { subject, id } = newSubject();
      const frozen = await acquired(store, id, SHORT_LEASE_MS);
      const next = await eventually(() => acquired(store, id));
      await store.release(next, undefined, 'vendor_timeout');
      expect(await store.save(frozen, recordOf(subject, frozen.generation), systemClock.now() + 9_000)).toBe(false);
    });

    test('takes the write of an owner whose lease ran out while nobody else came', async () => {
      const { subject, id } = newSubject();
      const late = await acquired(store, id, 1);
      await eventually(async () => !(await store.extend(late)));
      expect(await store.save(late, recordOf(subject, late.generation), systemClock.now() + 9_000)).toBe(true);
    });

    test('takes the same write twice, as after an answer that was lost', async () => {
      const { subject, id } = newSubject();
      const { lease, record } = await saved(store, subject, id);
      expect(await store.save(lease, record, systemClock.now() + 9_000)).toBe(true);
    });

    test('releases the lease with the write', async () => {
      const { subject, id } = newSubject();
      await saved(store, subject, id);
      expect((await store.acquire(id, LEASE_MS)).lease).toBeDefined();
    });

    test('lets a logout win over a login in flight, and keeps others from logging in until that one ended', async () => {
      const { subject, id } = newSubject();
      const lease = await acquired(store, id);
      await store.remove(id);
      expect((await store.acquire(id, LEASE_MS)).lease).toBeUndefined();
      expect(await store.save(lease, recordOf(subject, lease.generation), systemClock.now() + 9_000)).toBe(false);
      expect(await store.read(id)).toBeUndefined();
      expect((await store.acquire(id, LEASE_MS)).lease).toBeDefined();
    });

    test('forgets token and schedule on logout, and does not mind a second one', async () => {
      const { subject, id } = newSubject();
      await saved(store, subject, id, 1);
      await store.remove(id);
      await store.remove(id);
      expect(await store.read(id)).toBeUndefined();
      expect(await claims(store, id)).toBe(false);
    });

    test('keeps the terminals of one account apart', async () => {
      const { subject } = newSubject();
      const phone = { ...subject, uniqueId: 'phone' };
      const tablet = { ...subject, uniqueId: 'tablet' };
      await saved(store, phone, subjectId(phone));
      const { record } = await saved(store, tablet, subjectId(tablet));
      await store.remove(subjectId(phone));
      expect(await store.read(subjectId(phone))).toBeUndefined();
      expect(await store.read(subjectId(tablet))).toEqual(record);
    });

    test('claims what is due, once among ten workers at a time', async () => {
      const due = Array.from({ length: 40 }, newSubject);
      await Promise.all(due.map(({ subject, id }) => saved(store, subject, id, 1)));
      const claimed: SubjectId[] = [];
      await eventually(async () => {
        const rounds = await Promise.all(Array.from({ length: 10 }, () => store.claimDue(20, LEASE_MS)));
        claimed.push(...rounds.flatMap(({ ids }) => ids));
        return due.every(({ id }) => claimed.includes(id));
      });
      for (const { id } of due) expect(claimed.filter((other) => other === id)).toHaveLength(1);
    });

    test('does not claim what is not due yet, and says when the next is', async () => {
      const { subject, id } = newSubject();
      await saved(store, subject, id, 5_000);
      const { ids, nextInMs } = await store.claimDue(1_000, LEASE_MS);
      expect(ids).not.toContain(id);
      expect(nextInMs).toBeLessThanOrEqual(5_000);
    });

    test('gives a claim on when its worker died', async () => {
      const { subject, id } = newSubject();
      await saved(store, subject, id, 1);
      await eventually(() => claims(store, id, 300));
      expect(await claims(store, id)).toBe(false);
      await eventually(() => claims(store, id), { timeoutMs: 2_000 });
    });

    test('holds a claim for as long as the lease taken on it', async () => {
      const { subject, id } = newSubject();
      await saved(store, subject, id, 1);
      await eventually(() => claims(store, id, 100));
      const lease = await acquired(store, id, 1_500);
      const until = systemClock.now() + 400;
      while (systemClock.now() < until) expect(await claims(store, id, 1)).toBe(false);
      expect(await store.extend(lease)).toBe(true);
      await store.release(lease, systemClock.now());
      await eventually(() => claims(store, id));
    });

    test('puts a released subject back on the schedule at the instant it is told', async () => {
      const { subject, id } = newSubject();
      await saved(store, subject, id, 1);
      await eventually(() => claims(store, id));
      await store.release(await acquired(store, id), systemClock.now() + 5_000);
      expect(await claims(store, id)).toBe(false);
      await store.schedule(id, systemClock.now());
      await eventually(() => claims(store, id));
    });

    test('schedules nothing for a subject without a token', async () => {
      const { id } = newSubject();
      await store.release(await acquired(store, id), systemClock.now());
      await store.schedule(id, systemClock.now());
      expect(await claims(store, id)).toBe(false);
    });

    test('sweeps a token that has expired and leaves one that lives', async () => {
      const dead = newSubject();
      const alive = newSubject();
      await saved(store, dead.subject, dead.id, 1, 100);
      const { record } = await saved(store, alive.subject, alive.id, 1);
      await eventually(async () => {
        await store.sweep(dead.id);
        await store.sweep(alive.id);
        return (await store.read(dead.id)) === undefined;
      });
      expect(await store.read(alive.id)).toEqual(record);
      await eventually(() => claims(store, alive.id));
    });

    test('notes that a generation was read, and only that one', async () => {
      const { subject, id } = newSubject();
      const lease = await acquired(store, id);
      await store.save(lease, { ...recordOf(subject, lease.generation), read: false }, systemClock.now() + 9_000);
      await store.markRead(id, lease.generation - 1);
      expect((await store.read(id))?.read).toBe(false);
      await store.markRead(id, lease.generation);
      expect((await store.read(id))?.read).toBe(true);
      await store.markRead(newSubject().id, 1);
    });

    test('announces a save, a failure and a logout with their generations', async () => {
      const { subject, id } = newSubject();
      const { lease } = await saved(store, subject, id);
      const failed = await acquired(store, id);
      await store.release(failed, undefined, 'vendor_rejected');
      await store.remove(id);
      const about = await eventually(() => {
        const mine = heard.filter((announcement) => announcement.id === id);
        expect(mine).toHaveLength(3);
        return mine;
      });
      expect(about.slice(0, 2)).toEqual([
        { kind: 'saved', id, generation: lease.generation },
        { kind: 'failed', id, generation: failed.generation, code: 'vendor_rejected' },
      ]);
      expect(about[2]).toMatchObject({ kind: 'removed', id });
      expect(about[2]?.generation).toBeGreaterThan(failed.generation);
    });

    test('answers a ping', async () => {
      await expect(store.ping()).resolves.toBeUndefined();
    });
  });
}
