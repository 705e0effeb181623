import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/token/clock.ts';
import type { ErrorCode } from '../../src/token/errors.ts';
import type { Pace, Place, Urgency } from '../../src/token/login-queue.ts';
import type { Announcement, Lease, TokenStore } from '../../src/token/ports.ts';
import { HIDDEN_MS } from '../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import { type AccountId, accountId, type Subject, type SubjectId, subjectId } from '../../src/token/subject.ts';
import { claimLeases, type DueLease, type DueLeases, takeLease } from '../support/due-claims.ts';
import { eventually } from '../support/eventually.ts';

const LEASE_MS = 10_000;
const SHORT_LEASE_MS = 60;
/** Maximum number of terminals per account in the stores under test. */
export const TERMINALS = 20;
let subjects = 0;

function newSubject(): { subject: Subject; id: SubjectId } {
  subjects += 1;
  const subject = { app: 'default', unionId: `account-${subjects}-${systemClock.random()}`, uniqueId: 'phone' };
  return { subject, id: subjectId(subject) };
}

function anyAccount(): AccountId {
  return accountId(newSubject().subject.unionId);
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
  const flags = { read: true, unreadRenewals: 0, suspect: false };
  return { subject, region: 'CN', token, generation, answeredAt: generation, ...flags };
}

/** A due time that no test reaches. */
function farOff(): number {
  return systemClock.now() + 9_000;
}

function acquired(store: TokenStore, id: SubjectId, durationMs = LEASE_MS): Promise<Lease> {
  return takeLease(store, id, durationMs);
}

async function saved(store: TokenStore, subject: Subject, dueInMs = 50_000, lifeMs = 60_000, read = true) {
  const lease = await acquired(store, subjectId(subject));
  const record = { ...recordOf(subject, lease.generation, lifeMs), read };
  expect(await store.terminals.save(lease, record, systemClock.now() + dueInMs)).toBe('saved');
  return { lease, record };
}

function claim(store: TokenStore, limit: number, durationMs = LEASE_MS): Promise<DueLeases> {
  return claimLeases(store, limit, durationMs);
}

/** Claims every due subject. @returns the claim of `id`, or `false` when `id` was not due */
async function claimOf(store: TokenStore, id: SubjectId, leaseMs = LEASE_MS): Promise<DueLease | false> {
  return (await claimLeases(store, 1_000, leaseMs)).claims.find(({ lease }) => lease.id === id) ?? false;
}

/** Claims every due subject. @returns whether `id` was due */
async function claims(store: TokenStore, id: SubjectId, durationMs = LEASE_MS): Promise<boolean> {
  return (await claimOf(store, id, durationMs)) !== false;
}

/** Waits until the subject is due and claims it. */
async function claimed(...of: Parameters<typeof claimOf>): Promise<DueLease> {
  const one = await eventually(() => claimOf(...of));
  if (one === false) throw new Error('it was never due');
  return one;
}

function idsOf({ claims: claimed }: DueLeases): SubjectId[] {
  return claimed.map(({ lease }) => lease.id);
}

export function tokenStoreContract(name: string, open: () => Promise<TokenStore>): void {
  describe(`the token store in ${name}`, () => {
    let store: TokenStore;
    const heard: Announcement[] = [];

    const phonesOf = (subject: Subject, count = TERMINALS) =>
      Array.from({ length: count }, (_, number) => ({ ...subject, uniqueId: `phone-${number}` }));

    /** A new terminal with its lease. */
    async function leased(durationMs?: number) {
      const terminal = newSubject();
      return { ...terminal, lease: await acquired(store, terminal.id, durationMs) };
    }

    /** A new terminal whose first lease has run out, and is granted again. */
    async function leasedTwice() {
      const terminal = await leased(SHORT_LEASE_MS);
      return { ...terminal, next: await eventually(() => acquired(store, terminal.id)) };
    }

    /** A new terminal with a token. */
    async function savedNew(dueInMs?: number, lifeMs?: number, read?: boolean) {
      const terminal = newSubject();
      return { ...terminal, ...(await saved(store, terminal.subject, dueInMs, lifeMs, read)) };
    }

    /** A new terminal with a token that no app has read. */
    async function savedUnread(dueInMs?: number) {
      const { id, record } = await savedNew(dueInMs, undefined, false);
      return { id, generation: record.generation };
    }

    /** Asks for a lease. @returns for how long the account cools down, and why */
    async function coolDownOf(id: SubjectId) {
      const answer = await store.terminals.acquire(id, LEASE_MS);
      if (answer.kind !== 'cooling') throw new Error(answer.kind);
      return answer;
    }

    /** A login of the account fails. */
    const fail = async (id: SubjectId, code: ErrorCode, waitMs?: number) =>
      store.terminals.release(await eventually(() => acquired(store, id)), undefined, {
        code,
        ...(waitMs && { waitMs }),
      });

    beforeAll(async () => {
      store = await open();
      store.announcements.subscribe((announcement) => heard.push(announcement));
      await eventually(() => store.announcements.completeSince() !== undefined);
    });
    afterAll(() => store.close());

    test('reads exactly the saved record', async () => {
      const { subject, id, lease } = await leased();
      const more = { nick: '用户 "42"\n', empty: '', digits: '00000000000000000000ff', big: '9223372036854775808' };
      const record = recordOf(subject, lease.generation, 60_000, more);
      await store.terminals.save(lease, record, systemClock.now() + 1_000);
      expect((await store.terminals.read(id)).record).toEqual(record);
    });

    test('grants the lease of one subject to one of fifty owners', async () => {
      const { id } = newSubject();
      const answers = await Promise.all(Array.from({ length: 50 }, () => store.terminals.acquire(id, LEASE_MS)));
      expect(answers.filter(({ kind }) => kind === 'granted')).toHaveLength(1);
    });

    test('reports how long a lease is still held', async () => {
      const { id } = await leased();
      const answer = await store.terminals.acquire(id, LEASE_MS);
      if (answer.kind !== 'held') throw new Error('two owners');
      expect(answer.heldForMs).toBeGreaterThan(LEASE_MS / 2);
      expect(answer.heldForMs).toBeLessThanOrEqual(LEASE_MS);
    });

    test('returns the current record with the lease', async () => {
      const { id, record } = await savedNew();
      expect(await store.terminals.acquire(id, LEASE_MS)).toMatchObject({ current: record });
    });

    test('grants a larger generation each time, across saves, releases and logouts', async () => {
      const { subject, id } = newSubject();
      const generations: number[] = [];
      for (let round = 0; round < 10; round += 1) {
        const lease = await acquired(store, id);
        generations.push(lease.generation);
        if (round % 3 === 0) await store.terminals.save(lease, recordOf(subject, lease.generation), farOff());
        if (round % 3 === 1) await store.terminals.release(lease, undefined);
        if (round % 3 === 2) await store.terminals.release(lease, undefined).then(() => store.terminals.remove(id));
      }
      expect(generations).toEqual([...new Set(generations)].sort((one, other) => one - other));
    });

    test('grants a lease again after it ran out, and not to its late owner', async () => {
      const { id } = newSubject();
      const first = await acquired(store, id, SHORT_LEASE_MS);
      const second = await eventually(() => acquired(store, id));
      expect(await store.terminals.extend([first])).toEqual([first]);
      await store.terminals.release(first, undefined);
      expect(await store.terminals.extend([second])).toEqual([]);
    });

    test('keeps a lease for as long as it is extended', async () => {
      const { id, lease } = await leased(1_500);
      const until = systemClock.now() + 2_000;
      while (systemClock.now() < until) {
        expect(await store.terminals.extend([lease])).toEqual([]);
        expect((await store.terminals.acquire(id, LEASE_MS)).kind).toBe('held');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });

    type Next = (next: Lease, record: TokenRecord) => Promise<unknown>;
    test.each<[string, Next, string]>([
      ['before the next owner wrote, which keeps its lease', async () => undefined, 'lease_lost'],
      ['after the next owner wrote', (next, record) => store.terminals.save(next, record, farOff()), 'superseded'],
      [
        'after the next owner failed',
        (next) => store.terminals.release(next, undefined, { code: 'vendor_timeout' }),
        'lease_lost',
      ],
    ])('refuses the write of an owner whose lease was granted again: %s', async (when, act, outcome) => {
      const { subject, id, lease: frozen, next } = await leasedTwice();
      const record = recordOf(subject, next.generation);
      await act(next, record);
      expect(await store.terminals.save(frozen, recordOf(subject, frozen.generation), farOff())).toBe(outcome);
      expect((await store.terminals.read(id)).record).toEqual(outcome === 'superseded' ? record : undefined);
      if (when.endsWith('keeps its lease')) expect(await store.terminals.extend([next])).toEqual([]);
    });

    test.each(['before', 'after'] as const)(
      'tells an owner of a logout or an erasure, also if its lease was granted again: %s it',
      async (when) => {
        for (const act of ['remove', 'erase', 'logOut'] as const) {
          const { subject, id } = newSubject();
          const end = () => (act === 'remove' ? store.terminals.remove(id) : store.accounts[act](subject.unionId));
          const frozen = await acquired(store, id, SHORT_LEASE_MS);
          if (when === 'after') await end();
          const next = await eventually(() => acquired(store, id));
          if (when === 'before') await end();
          const record = recordOf(subject, frozen.generation);
          expect(await store.terminals.save(frozen, record, farOff())).toBe('outdated');
          expect((await store.terminals.read(id)).record).toBeUndefined();
          await store.terminals.release(next, undefined);
        }
      },
    );

    test('accepts the write of an owner whose lease ran out while no other owner came', async () => {
      const { subject, id } = newSubject();
      const late = await acquired(store, id, 1);
      await eventually(async () => (await store.terminals.extend([late])).length === 1);
      expect(await store.terminals.save(late, recordOf(subject, late.generation), farOff())).toBe('saved');
    });

    test('restores a lost token, with its due time', async () => {
      const { subject, id } = newSubject();
      const record = recordOf(subject, systemClock.now());
      expect(await store.terminals.restore(record, systemClock.now() + 1)).toBe('saved');
      expect((await store.terminals.read(id)).record).toEqual(record);
      await eventually(() => claims(store, id));
    });

    test('restores no token over a newer one, or after a logout or an erasure', async () => {
      const { subject, id, record } = await savedNew();
      const older = recordOf(subject, record.generation - 1);
      expect(await store.terminals.restore(older, farOff())).toBe('superseded');
      expect((await store.terminals.read(id)).record).toEqual(record);
      await store.terminals.remove(id);
      expect(await store.terminals.restore(record, farOff())).toBe('outdated');
      for (const act of ['erase', 'logOut'] as const) {
        const ended = newSubject();
        const { record: lost } = await saved(store, ended.subject);
        await store.accounts[act](ended.subject.unionId);
        expect(await store.terminals.restore(lost, farOff())).toBe('outdated');
        for (const gone of [id, ended.id]) expect((await store.terminals.read(gone)).record).toBeUndefined();
      }
    });

    test('restores a token that is older than a lease, and lets the owner of the lease replace it', async () => {
      const { subject, id, lease: frozen, next } = await leasedTwice();
      const older = recordOf(subject, frozen.generation - 5_000);
      expect(await store.terminals.restore(older, farOff())).toBe('saved');
      expect((await store.terminals.read(id)).record).toEqual(older);
      expect((await store.terminals.acquire(id, LEASE_MS)).kind).toBe('held');
      expect(await store.terminals.save(frozen, recordOf(subject, frozen.generation), farOff())).toBe('lease_lost');
      const record = recordOf(subject, next.generation);
      expect(await store.terminals.save(next, record, farOff())).toBe('saved');
      expect(await store.terminals.restore(older, farOff())).toBe('superseded');
      expect((await store.terminals.read(id)).record).toEqual(record);
    });

    test('restores no token that is older than a logout, before and after a lease', async () => {
      const { subject, id } = newSubject();
      const older = recordOf(subject, systemClock.now() - 5_000);
      const lease = await acquired(store, id);
      await store.terminals.remove(id);
      expect(await store.terminals.restore(older, farOff())).toBe('outdated');
      await store.terminals.release(lease, undefined);
      for (const _ of [1, 2]) {
        await store.terminals.release(await acquired(store, id), undefined);
        expect(await store.terminals.restore(older, farOff())).toBe('outdated');
      }
      const { record } = await saved(store, subject);
      await store.terminals.release(await acquired(store, id), undefined);
      await store.accounts.erase(subject.unionId);
      expect(await store.terminals.restore(record, farOff())).toBe('outdated');
    });

    /** A record of a login that was sent at `generation` and answered `lastedMs` later. */
    function loginOf(subject: Subject, generation: number, lastedMs: number, accessToken = 'one'): TokenRecord {
      const fields = { accessToken: `${accessToken} ${generation}` };
      return { ...recordOf(subject, generation, 60_000, fields), answeredAt: generation + lastedMs };
    }

    /** Two records of logins that were sent at the same time. */
    const twoLogins = (subject: Subject, sentAt: number) =>
      [loginOf(subject, sentAt, 0, 'one'), loginOf(subject, sentAt, 0, 'other')] as const;

    const heardOf = (id: SubjectId) =>
      heard.flatMap((one) => ('id' in one && one.id === id ? [`${one.kind} ${one.generation}`] : []));

    test('restores one of two tokens with the same generation: the kept one is suspect and due at once', async () => {
      const { subject, id } = newSubject();
      const sentAt = systemClock.now() - 5_000;
      const [kept, refused] = twoLogins(subject, sentAt);
      expect(await store.terminals.restore(kept, farOff())).toBe('saved');
      expect(await claims(store, id)).toBe(false);
      expect(await store.terminals.restore(refused, farOff())).toBe('superseded');
      expect((await store.terminals.read(id)).record).toEqual({ ...kept, suspect: true });
      expect(await claims(store, id)).toBe(true);
    });

    test('saves one of two tokens with the same generation: the kept one is suspect and due at once', async () => {
      const { subject, id, lease } = await leased();
      const [kept, refused] = twoLogins(subject, lease.generation);
      expect(await store.terminals.restore(kept, farOff())).toBe('saved');
      expect(await store.terminals.save(lease, refused, farOff())).toBe('superseded');
      expect((await store.terminals.read(id)).record).toEqual({ ...kept, suspect: true });
      expect(await claims(store, id)).toBe(true);
      const later = twoLogins(subject, systemClock.now() + 5_000);
      const answers = await Promise.all(later.map((record) => store.terminals.restore(record, farOff())));
      expect(answers).toEqual(['saved', 'superseded']);
    });

    test('keeps the token of the login that was sent last, whichever is written first', async () => {
      const sentAt = systemClock.now() - 5_000;
      for (const order of ['in order', 'in reverse']) {
        const { subject, id } = newSubject();
        const [earlier, later] = [loginOf(subject, sentAt, 99), loginOf(subject, sentAt + 100, 50)];
        const written = order === 'in order' ? [earlier, later] : [later, earlier];
        const outcomes: string[] = [];
        for (const record of written) outcomes.push(await store.terminals.restore(record, farOff()));
        expect(outcomes).toEqual(['saved', order === 'in order' ? 'saved' : 'superseded']);
        // They did not overlap. So the vendor received the kept one last.
        expect((await store.terminals.read(id)).record).toEqual(later);
        expect(await claims(store, id)).toBe(false);
      }
    });

    test.each(['before', 'after'])(
      'stores no token of a dropped login, and makes that of an overlapping later one suspect, noted %s it',
      async (when) => {
        const { subject, id } = newSubject();
        const sentAt = systemClock.now() - 5_000;
        const [dropped, later] = [loginOf(subject, sentAt, 100), loginOf(subject, sentAt + 100, 50)];
        const note = () => store.terminals.drop(dropped);
        if (when === 'before') await note();
        expect((await store.terminals.read(id)).record).toBeUndefined();
        const outcome = await store.terminals.restore(later, farOff());
        expect(outcome).toBe(when === 'before' ? 'suspect' : 'saved');
        if (when === 'after') await note();
        expect((await store.terminals.read(id)).record).toEqual({ ...later, suspect: true });
        expect(await claims(store, id)).toBe(true);
      },
    );

    test.each(['in order', 'in reverse'])(
      'makes the token of the later of two overlapping logins suspect and due at once, if they are written %s',
      async (order) => {
        const { subject, id } = newSubject();
        const sentAt = systemClock.now() - 5_000;
        const [earlier, later] = [loginOf(subject, sentAt, 100), loginOf(subject, sentAt + 100, 50)];
        const written = order === 'in order' ? [earlier, later] : [later, earlier];
        const outcomes: string[] = [];
        for (const record of written) outcomes.push(await store.terminals.restore(record, farOff()));
        expect(outcomes).toEqual(['saved', order === 'in order' ? 'suspect' : 'superseded']);
        expect((await store.terminals.read(id)).record).toEqual({ ...later, suspect: true });
        const last = order === 'in order' ? 'saved' : 'suspected';
        await eventually(() => expect(heardOf(id).at(-1)).toBe(`${last} ${later.generation}`));
        const { lease, record } = await claimed(store, id);
        expect(record.suspect).toBe(true);
        // A login after both of them ends the doubt.
        const next = loginOf(subject, lease.generation, 0);
        expect(await store.terminals.save(lease, next, farOff())).toBe('saved');
        expect((await store.terminals.read(id)).record).toEqual(next);
        expect(await claims(store, id)).toBe(false);
      },
    );

    test('makes the token of the last of three logins suspect if another was answered after it was sent, in every order', async () => {
      const sentAt = systemClock.now() - 5_000;
      for (const order of ['123', '132', '213', '231', '312', '321']) {
        const { subject, id } = newSubject();
        const first = loginOf(subject, sentAt, 1_200);
        const second = loginOf(subject, sentAt + 1, 300);
        const third = loginOf(subject, sentAt + 400, 400);
        for (const digit of order) {
          const record = [first, second, third][Number(digit) - 1] as TokenRecord;
          await store.terminals.restore(record, farOff());
        }
        expect((await store.terminals.read(id)).record, order).toEqual({ ...third, suspect: true });
        expect(await claims(store, id), order).toBe(true);
      }
    });

    test.each([
      ['after', 'suspect', 0],
      ['before', 'in peace', -1],
    ] as const)(
      'if a login whose lease was lost was answered %s the next lease was granted, leaves the token of that lease %s',
      async (_, state, afterMs) => {
        const suspect = state === 'suspect';
        for (const isWrittenFirst of [true, false]) {
          const { subject, id, lease: frozen, next } = await leasedTwice();
          const late = { ...loginOf(subject, frozen.generation, 0), answeredAt: next.generation + afterMs };
          const record = loginOf(subject, next.generation, 0);
          const saveLate = () => store.terminals.save(frozen, late, farOff());
          const save = () => store.terminals.save(next, record, farOff());
          const saved = suspect ? 'suspect' : 'saved';
          if (isWrittenFirst) expect([await saveLate(), await save()]).toEqual(['lease_lost', saved]);
          else expect([await save(), await saveLate()]).toEqual(['saved', 'superseded']);
          expect((await store.terminals.read(id)).record).toEqual({ ...record, suspect });
          expect(await claims(store, id)).toBe(suspect);
        }
      },
    );

    test('grants no lease with a generation up to the answer of the stored login, so the next login is later than that', async () => {
      const { subject, id } = newSubject();
      const answeredAt = systemClock.now() + 20_000;
      const record = { ...loginOf(subject, systemClock.now(), 0), answeredAt };
      expect(await store.terminals.restore(record, farOff())).toBe('saved');
      const lease = await acquired(store, id);
      expect(lease.generation).toBeGreaterThan(answeredAt);
      expect(await store.terminals.save(lease, loginOf(subject, lease.generation, 0), farOff())).toBe('saved');
    });

    test.each(['logout', 'erasure'])(
      'lets a %s win over a login that was sent before it and answered after it, with and without a lease',
      async (kind) => {
        for (const isLeased of [true, false]) {
          const { subject, id, lease } = await leased();
          const outdated =
            kind === 'logout' ? await store.terminals.remove(id) : await store.accounts.erase(subject.unionId);
          if (outdated === undefined) throw new Error('nothing was removed');
          const late = { ...loginOf(subject, lease.generation, 0), answeredAt: outdated + 1_000 };
          const write = (record: TokenRecord) =>
            isLeased ? store.terminals.save(lease, record, farOff()) : store.terminals.restore(record, farOff());
          expect(await write(late)).toBe('outdated');
          if (!isLeased) expect(await write({ ...late, generation: outdated })).toBe('outdated');
          expect((await store.terminals.read(id)).record).toBeUndefined();
          expect(await store.accounts.find(subject.unionId)).toMatchObject({ identity: undefined, records: [] });
          // A later login overlapped with the refused one, which may have ended its token.
          if (!isLeased) expect(await write({ ...late, generation: outdated + 1 })).toBe('suspect');
        }
      },
    );

    test('repeats a logout that it has lost: deletes what is not newer, refuses older logins, announces it', async () => {
      const { subject, id, record } = await savedNew(1);
      await store.terminals.repeatRemoval(id, record.generation);
      expect((await store.terminals.read(id)).record).toBeUndefined();
      expect(await claims(store, id)).toBe(false);
      await eventually(() => expect(heardOf(id).at(-1)).toBe(`removed ${record.generation}`));
      expect(await store.terminals.restore(record, farOff())).toBe('outdated');
      const running = await acquired(store, id);
      await store.terminals.repeatRemoval(id, running.generation);
      const late = recordOf(subject, running.generation);
      expect(await store.terminals.save(running, late, farOff())).toBe('outdated');
    });

    test('repeats no logout of a terminal that has a newer token: it leaves the token and its due time, and announces nothing', async () => {
      const { subject, id, record } = await savedNew(1);
      await store.terminals.repeatRemoval(id, record.generation - 1);
      expect((await store.terminals.read(id)).record).toEqual(record);
      const older = recordOf(subject, record.generation - 1);
      expect(await store.terminals.restore(older, farOff())).toBe('superseded');
      expect((await claimed(store, id)).record).toEqual(record);
      expect(heardOf(id)).not.toContain(`removed ${record.generation - 1}`);
    });

    test('changes and announces nothing if it knows the logout that is repeated, or a later one', async () => {
      const { subject, id } = newSubject();
      const outdated = (await store.terminals.remove(id)) ?? 0;
      const { record } = await saved(store, subject);
      await store.terminals.repeatRemoval(id, outdated);
      await store.terminals.repeatRemoval(id, outdated - 1_000);
      expect((await store.terminals.read(id)).record).toEqual(record);
      const later = (await store.terminals.remove(id)) ?? 0;
      await eventually(() => expect(heardOf(id).at(-1)).toBe(`removed ${later}`));
      expect(heardOf(id)).toEqual([`removed ${outdated}`, `saved ${record.generation}`, `removed ${later}`]);
    });

    /** Both ways in which the sessions of an account end. */
    const ENDS = [
      ['an erasure', 'erase', 'erased', 'erasedAt'],
      ['the logout of an account', 'logOut', 'loggedout', 'loggedOutAt'],
    ] as const;

    const endsOf = (unionId: string) =>
      heard.flatMap((one) =>
        'account' in one && one.account === accountId(unionId) ? [[one.kind, one.generation]] : [],
      );

    test.each(ENDS)(
      'repeats %s that it has lost: deletes what is not newer, refuses older logins, announces it',
      async (...end) => {
        const [, , how, at] = end;
        const { subject, id } = newSubject();
        const { unionId } = subject;
        const { record } = await saved(store, subject, 1);
        const tablet = { ...subject, uniqueId: 'tablet' };
        const running = await acquired(store, subjectId(tablet));
        const endedAt = Math.max(record.generation, running.generation);
        const { identity } = await store.accounts.find(unionId);
        await store.accounts.repeatEnd(accountId(unionId), how, endedAt);
        expect(await store.terminals.read(id)).toEqual({ record: undefined, [at]: endedAt });
        const kept = how === 'erased' ? undefined : identity;
        expect(await store.accounts.find(unionId)).toMatchObject({ identity: kept, records: [], [at]: endedAt });
        expect(await claims(store, id)).toBe(false);
        await eventually(() => expect(endsOf(unionId)).toEqual([[how, endedAt]]));
        expect(await store.terminals.save(running, recordOf(tablet, running.generation), farOff())).toBe('outdated');
        expect(await store.terminals.restore(record, farOff())).toBe('outdated');
      },
    );

    test('repeats an erasure that it has lost although it knows a later logout of the account', async () => {
      const { subject } = newSubject();
      const { record } = await saved(store, subject);
      const loggedOutAt = await store.accounts.logOut(subject.unionId);
      await store.accounts.repeatEnd(accountId(subject.unionId), 'erased', record.generation);
      const found = { identity: undefined, erasedAt: record.generation, loggedOutAt };
      expect(await store.accounts.find(subject.unionId)).toMatchObject(found);
    });

    test('repeats an erasure that it has lost, and leaves newer tokens, their due times, country and accessId', async () => {
      const { subject, id } = newSubject();
      const { unionId } = subject;
      const tablet = { ...subject, uniqueId: 'tablet' };
      const { record: older } = await saved(store, subject);
      const dueAt = systemClock.now() + 1;
      const newer = recordOf(tablet, older.generation + 1, 60_000, { accessId: `3${older.generation}` });
      expect(await store.terminals.restore(newer, dueAt)).toBe('saved');
      await store.accounts.repeatEnd(accountId(unionId), 'erased', older.generation);
      const erasedAt = older.generation;
      expect(await store.terminals.read(id)).toEqual({ record: undefined, erasedAt });
      expect(await store.terminals.read(subjectId(tablet))).toEqual({ record: newer, erasedAt });
      const accessId = newer.token.fields['accessId'] ?? '';
      expect(await store.accounts.find(unionId)).toMatchObject({
        identity: { accessId, region: 'CN' },
        records: [newer],
      });
      expect(await store.accounts.lookUp([accessId])).toEqual(new Map([[accessId, unionId]]));
      expect((await claimed(store, subjectId(tablet))).record).toEqual(newer);
    });

    test.each(ENDS)('changes and announces nothing if it knows %s that is repeated, or a later one', async (...end) => {
      const [, act, how, at] = end;
      const { subject, id } = newSubject();
      const { unionId } = subject;
      const endedAt = await store.accounts[act](unionId);
      const { record } = await saved(store, subject);
      for (const repeated of [endedAt, endedAt - 1_000]) {
        await store.accounts.repeatEnd(accountId(unionId), how, repeated);
      }
      expect(await store.terminals.read(id)).toEqual({ record, [at]: endedAt });
      const later = await store.accounts[act](unionId);
      await eventually(() =>
        expect(endsOf(unionId)).toEqual([
          [how, endedAt],
          [how, later],
        ]),
      );
    });

    test('knows the clock of the store, also while the store is not asked', async () => {
      const { id } = newSubject();
      await eventually(() => expect(store.terminals.clockFor(id)).toBeDefined());
      const [before, startedAt] = [store.terminals.clockFor(id) ?? 0, systemClock.monotonic()];
      expect(Math.abs(before - systemClock.now())).toBeLessThan(500);
      await sleep(300);
      const passedMs = systemClock.monotonic() - startedAt;
      expect(Math.abs((store.terminals.clockFor(id) ?? 0) - before - passedMs)).toBeLessThan(150);
    });

    test('lets a logout win over a login in progress, also before a hundred others, and no other login starts until that one ends', async () => {
      const { subject, id, lease } = await leased();
      await store.terminals.remove(id);
      for (let number = 0; number < 100; number += 1) {
        await store.terminals.remove(subjectId({ ...subject, uniqueId: `other-${number}` }));
      }
      expect((await store.terminals.acquire(id, LEASE_MS)).kind).toBe('held');
      expect(await store.terminals.save(lease, recordOf(subject, lease.generation), farOff())).toBe('outdated');
      expect((await store.terminals.read(id)).record).toBeUndefined();
      expect((await store.terminals.acquire(id, LEASE_MS)).kind).toBe('granted');
    });

    test('deletes token and due time on logout, and a second logout does no harm', async () => {
      const { id } = await savedNew(1);
      await store.terminals.remove(id);
      await store.terminals.remove(id);
      expect((await store.terminals.read(id)).record).toBeUndefined();
      expect(await claims(store, id)).toBe(false);
    });

    test('refuses the logout of a session from before an erasure, and changes nothing then', async () => {
      const { subject, id } = await savedNew();
      const erasedAt = await store.accounts.erase(subject.unionId);
      const { record } = await saved(store, subject);
      const lease = await acquired(store, id);
      for (const issuedAt of [erasedAt, erasedAt - 1_000, 1_500.5, 0, -1_000]) {
        expect(await store.terminals.remove(id, issuedAt)).toBeUndefined();
      }
      expect((await store.terminals.read(id)).record).toEqual(record);
      expect(heard.filter((one) => one.kind === 'removed' && one.id === id)).toEqual([]);
      const next = recordOf(subject, lease.generation);
      expect(await store.terminals.save(lease, next, farOff())).toBe('saved');
      expect(await store.terminals.remove(id, erasedAt + 1)).toBeGreaterThan(next.generation);
      expect((await store.terminals.read(id)).record).toBeUndefined();
    });

    test('lets any session of an account that was never erased log out, and also a caller without a session', async () => {
      for (const issuedAt of [[], [0], [-1_000], [systemClock.now()]]) {
        const { id, record } = await savedNew();
        expect(await store.terminals.remove(id, ...issuedAt)).toBeGreaterThan(record.generation);
        expect((await store.terminals.read(id)).record).toBeUndefined();
      }
      const { subject, id } = newSubject();
      await store.accounts.erase(subject.unionId);
      const { record } = await saved(store, subject);
      expect(await store.terminals.remove(id)).toBeGreaterThan(record.generation);
      expect((await store.terminals.read(id)).record).toBeUndefined();
    });

    test('keeps the terminals of one account apart', async () => {
      const { subject } = newSubject();
      const phone = { ...subject, uniqueId: 'phone' };
      const tablet = { ...subject, uniqueId: 'tablet' };
      await saved(store, phone);
      const { record } = await saved(store, tablet);
      await store.terminals.remove(subjectId(phone));
      expect((await store.terminals.read(subjectId(phone))).record).toBeUndefined();
      expect((await store.terminals.read(subjectId(tablet))).record).toEqual(record);
    });

    test('gives each due subject to one of ten workers', async () => {
      const due = Array.from({ length: 40 }, newSubject);
      await Promise.all(due.map(({ subject }) => saved(store, subject, 1)));
      const claimed: SubjectId[] = [];
      await eventually(async () => {
        const rounds = await Promise.all(Array.from({ length: 10 }, () => claim(store, 20)));
        claimed.push(...rounds.flatMap(idsOf));
        return due.every(({ id }) => claimed.includes(id));
      });
      for (const { id } of due) expect(claimed.filter((other) => other === id)).toHaveLength(1);
    });

    test('claims no more than the limit at a time, and everything in the end', async () => {
      const due = Array.from({ length: 40 }, newSubject);
      await Promise.all(due.map(({ subject }) => saved(store, subject, 1)));
      const claimed: SubjectId[] = [];
      for (const limit of [1, 3, 17, 20]) {
        const ids = idsOf(await claim(store, limit));
        expect(ids.length).toBeLessThanOrEqual(limit);
        claimed.push(...ids);
      }
      await eventually(async () => {
        claimed.push(...idsOf(await claim(store, 1)));
        return due.every(({ id }) => claimed.includes(id));
      });
    });

    test('reports with a claim how many other subjects are due', async () => {
      // A store of its own, because tokens of other tests may fall due.
      const own = await open();
      onTestFinished(() => own.close());
      const due = Array.from({ length: 40 }, newSubject);
      await Promise.all(due.map(({ subject }) => saved(own, subject, 1)));
      const ids = new Set(due.map(({ id }) => id));
      await eventually(async () => {
        const answer = await claim(own, 1);
        for (const id of idsOf(answer)) ids.delete(id);
        expect(answer.backlog).toBeGreaterThan(0);
        expect(answer.backlog).toBeLessThanOrEqual(ids.size);
        return answer.claims.length > 0;
      });
      await eventually(async () => (await claim(own, 1_000)).backlog === 0);
    });

    test('reports with a claim how long the oldest due subject has waited', async () => {
      await savedNew(1);
      await sleep(120);
      const { overdueMs } = await claim(store, 1_000);
      expect(overdueMs).toBeGreaterThanOrEqual(100);
      expect(overdueMs).toBeLessThan(60_000);
      await eventually(async () => (await claim(store, 1_000)).overdueMs === 0);
    });

    test('reports with the lease that it has deleted an expired token that an app had read, once', async () => {
      await claim(store, 1_000);
      for (const read of [true, false]) await savedNew(1, 40, read);
      await sleep(80);
      expect((await claim(store, 1_000)).endedRead).toBe(1);
      expect((await claim(store, 1_000)).endedRead).toBe(0);
    });

    test('counts the subjects that are due within given times, without a claim', async () => {
      await claim(store, 1_000);
      const HOUR_MS = 3_600_000;
      const before = await store.dueQueue.outlook([0, HOUR_MS, 24 * HOUR_MS]);
      for (const dueInMs of [1, 1, 30 * 60_000, 2 * HOUR_MS, 48 * HOUR_MS]) await savedNew(dueInMs, 100 * HOUR_MS);
      await sleep(60);
      const after = await store.dueQueue.outlook([0, HOUR_MS, 24 * HOUR_MS]);
      const added = after.dueWithin.map((count, at) => count - (before.dueWithin[at] ?? 0));
      // Leases of other subjects may end in between.
      expect(added[0]).toBeGreaterThanOrEqual(2);
      expect(added.slice(1)).toEqual([3, 4]);
      expect(after.total - before.total).toBe(5);
      expect(after.overdueMs).toBeGreaterThanOrEqual(50);
      expect(after.overdueMs).toBeLessThan(60_000);
      expect(await store.dueQueue.outlook([0])).toMatchObject({ total: after.total });
      expect((await claim(store, 1_000)).claims.length).toBeGreaterThanOrEqual(2);
      // Leases of other subjects may end meanwhile.
      await eventually(async () => {
        await claim(store, 1_000);
        return (await store.dueQueue.outlook([])).overdueMs === 0;
      });
    });

    test('tells when the first token in use ends', async () => {
      const HOUR_MS = 3_600_000;
      for (const hours of [3.5, 5.5]) await savedNew(0.8 * hours * HOUR_MS, hours * HOUR_MS);
      // Other tests leave tokens that end sooner.
      const firstEnd = (await store.dueQueue.firstEnd()) ?? Number.NaN;
      expect(firstEnd).toBeGreaterThan(systemClock.now() - HOUR_MS);
      expect(firstEnd).toBeLessThanOrEqual(systemClock.now() + 3.5 * HOUR_MS);
    });

    test('gives a subject to another worker after its worker died', async () => {
      const { id } = await savedNew(1);
      await eventually(() => claims(store, id, 1_000));
      expect(await claims(store, id)).toBe(false);
      // A claim in the last ms of the lease finds it held, and hides the subject for HIDDEN_MS.
      await eventually(() => claims(store, id), { timeoutMs: 3 * HIDDEN_MS });
    });

    test('extends many leases at once, and returns those that are lost', async () => {
      const subjects = Array.from({ length: 40 }, () => newSubject());
      const leases = await Promise.all(subjects.map(({ id }) => acquired(store, id, 600)));
      const lost = leases.filter((_, index) => index % 3 === 0);
      await Promise.all(lost.map((lease) => store.terminals.release(lease, undefined)));
      expect(new Set(await store.terminals.extend(leases))).toEqual(new Set(lost));
      expect(await store.terminals.extend([])).toEqual([]);
    });

    test('makes no subject due whose lease is held, until that lease ends', async () => {
      const { id } = await savedNew(1);
      await eventually(() => claims(store, id, 100));
      const lease = await eventually(() => acquired(store, id));
      const until = systemClock.now() + 400;
      while (systemClock.now() < until) expect(await claims(store, id, 1)).toBe(false);
      expect(await store.terminals.extend([lease])).toEqual([]);
      await store.terminals.release(lease, systemClock.now());
      await eventually(() => claims(store, id));
    });

    test('deletes an expired token when its lease is asked for', async () => {
      const dead = newSubject();
      const alive = newSubject();
      await saved(store, dead.subject, 101, 100);
      const { record } = await saved(store, alive.subject, 101);
      await eventually(() => claims(store, alive.id));
      expect((await store.terminals.read(alive.id)).record).toEqual(record);
      expect((await store.terminals.read(dead.id)).record).toBeUndefined();
      expect((await store.accounts.find(dead.subject.unionId)).records).toEqual([]);
    });

    test('makes a token due earlier with the first read of its generation, and with no other read', async () => {
      const { id, generation } = await savedUnread();
      await store.terminals.markRead(id, generation - 1, systemClock.now());
      expect((await store.terminals.read(id)).record?.read).toBe(false);
      expect(await claims(store, id)).toBe(false);
      await store.terminals.markRead(id, generation, systemClock.now() + 1_000);
      expect((await store.terminals.read(id)).record?.read).toBe(true);
      await store.terminals.markRead(id, generation, systemClock.now());
      expect(await claims(store, id)).toBe(false);
      await eventually(() => claims(store, id));
    });

    test('makes no token due later with a read, and makes no subject without a token due', async () => {
      const { id, generation } = await savedUnread(1);
      await store.terminals.markRead(id, generation, systemClock.now() + 50_000);
      await eventually(() => claims(store, id));
      const gone = await savedUnread();
      await store.terminals.remove(gone.id);
      await store.terminals.markRead(gone.id, gone.generation, systemClock.now());
      expect(await claims(store, gone.id)).toBe(false);
    });

    test('keeps a token that is read during its renewal from a second claim, and makes it due if the worker dies', async () => {
      const { id, generation } = await savedUnread(1);
      const first = await claimed(store, id, 2_000);
      await store.terminals.markRead(id, generation, systemClock.now());
      expect(await claims(store, id)).toBe(false);
      expect(await store.terminals.extend([first.lease])).toEqual([]);
      const second = await claimed(store, id);
      expect(second.record.read).toBe(true);
    });

    test('lets an account cool down from its second failure in a row, longer each time, until it has a token', async () => {
      const { subject, id } = newSubject();
      for (const code of ['vendor_busy', 'vendor_rejected', 'vendor_timeout'] as const) await fail(id, code);
      for (const coolDownMs of [500, 1_000]) {
        await fail(id, 'vendor_unavailable');
        const { code, forMs } = await coolDownOf(id);
        expect(code).toBe('vendor_unavailable');
        expect(forMs).toBeGreaterThan(coolDownMs / 2);
        expect(forMs).toBeLessThanOrEqual(coolDownMs);
      }
      await eventually(() => saved(store, subject));
      expect((await store.accounts.find(subject.unionId)).coolDown).toBeUndefined();
      await fail(id, 'vendor_unavailable');
      expect((await store.terminals.acquire(id, LEASE_MS)).kind).toBe('granted');
    });

    test('lets an account cool down for as long as the vendor asks, from its first failure, for an hour at most', async () => {
      const { subject, id } = await savedNew();
      const others = ['tablet', 'watch', 'car'].map((uniqueId) => subjectId({ ...subject, uniqueId }));
      const running = await Promise.all(others.map((other) => acquired(store, other)));
      const expectRest = async (maxMs: number) => {
        const { forMs } = await coolDownOf(id);
        const { coolDown } = await store.accounts.find(subject.unionId);
        expect(Math.abs((coolDown?.until ?? 0) - systemClock.now() - forMs)).toBeLessThan(5_000);
        expect(forMs).toBeGreaterThan(maxMs - 10_000);
        expect(forMs).toBeLessThanOrEqual(maxMs);
      };
      await fail(id, 'vendor_busy', 600_000);
      await fail(id, 'vendor_unavailable', 100_000);
      await expectRest(100_000);
      // Logins that began before it may lengthen it, and never shorten it.
      for (const [index, [waitMs, restMs]] of [
        [200_000, 200_000],
        [undefined, 200_000],
        [7_200_000, 3_600_000],
      ].entries()) {
        const failure = { code: 'vendor_unavailable', ...(waitMs && { waitMs }) } as const;
        await store.terminals.release(running[index] as Lease, undefined, failure);
        await expectRest(restMs ?? 0);
      }
    });

    test('keeps the last erasure and the cool-down of an account without an identity, and nothing of a stranger', async () => {
      const { subject, id } = newSubject();
      expect(await store.terminals.read(id)).toEqual({});
      expect(await store.accounts.find(subject.unionId)).toEqual({ records: [] });
      expect(await store.accounts.identify(subject.unionId)).toBeUndefined();
      const erasedAt = await store.accounts.erase(subject.unionId);
      expect(await store.accounts.find(subject.unionId)).toEqual({ records: [], erasedAt });
      // After four failures in a row the cool-down is longer than the next answers take.
      for (let round = 0; round < 4; round += 1) await fail(id, 'vendor_timeout');
      const known = await store.accounts.find(subject.unionId);
      expect(known).toEqual({ records: [], erasedAt, coolDown: { until: expect.any(Number), code: 'vendor_timeout' } });
      expect(known.coolDown?.until).toBeGreaterThan(systemClock.now());
    });

    test('lets all terminals of an account cool down together, and counts failures at once as one; other accounts go on', async () => {
      const failTogether = async () => {
        const { subject } = newSubject();
        const ids = Array.from({ length: 8 }, (_, phone) => subjectId({ ...subject, uniqueId: `phone-${phone}` }));
        const leases = await Promise.all(ids.map((id) => acquired(store, id)));
        const another = subjectId({ ...subject, uniqueId: 'another' });
        const startedAt = systemClock.monotonic();
        for (const lease of leases) await store.terminals.release(lease, undefined, { code: 'vendor_timeout' });
        const answer = await store.terminals.acquire(another, LEASE_MS);
        return { subject, ids, another, answer, tookMs: systemClock.monotonic() - startedAt };
      };
      let failed = await failTogether();
      // The cool-down may be over if the machine is slow.
      for (let attempt = 2; failed.tookMs > 400 && attempt <= 10; attempt += 1) failed = await failTogether();
      const { subject, ids, another, answer } = failed;
      if (answer.kind !== 'cooling') throw new Error(answer.kind);
      expect(answer.forMs).toBeLessThanOrEqual(500);
      expect((await store.terminals.acquire(newSubject().id, LEASE_MS)).kind).toBe('granted');
      const lease = await eventually(() => acquired(store, another));
      const record = recordOf({ ...subject, uniqueId: 'another' }, lease.generation);
      await store.terminals.save(lease, record, farOff());
      expect((await store.terminals.acquire(ids[0] as SubjectId, LEASE_MS)).kind).toBe('granted');
    });

    test('announces a save, a failure and a logout with their generations', async () => {
      const { id, lease } = await savedNew();
      const failed = await acquired(store, id);
      await store.terminals.release(failed, undefined, { code: 'vendor_rejected', vendorCode: 10_016 });
      const late = await acquired(store, id);
      await store.terminals.release(late, undefined, { code: 'vendor_timeout', retryAfter: 5, waitMs: 1 });
      await store.terminals.remove(id);
      const about = await eventually(() => {
        const mine = heard.filter((announcement) => 'id' in announcement && announcement.id === id);
        expect(mine).toHaveLength(4);
        return mine;
      });
      expect(about.slice(0, 3)).toEqual([
        { kind: 'saved', id, generation: lease.generation },
        { kind: 'failed', id, generation: failed.generation, code: 'vendor_rejected', vendorCode: 10_016 },
        { kind: 'failed', id, generation: late.generation, code: 'vendor_timeout', retryAfter: 5 },
      ]);
      expect(about[3]).toMatchObject({ kind: 'removed', id });
      expect(about[3]?.generation).toBeGreaterThan(late.generation);
    });

    test('pins the country of an account at its first login, for all its terminals', async () => {
      const { subject } = await savedNew();
      const tablet = { ...subject, uniqueId: 'tablet' };
      const answer = await store.terminals.acquire(subjectId(tablet), LEASE_MS);
      if (answer.kind !== 'granted') throw new Error(answer.kind);
      expect(answer.region).toBe('CN');
      const record = { ...recordOf(tablet, answer.lease.generation), region: 'US' };
      await store.terminals.save(answer.lease, record, farOff());
      expect(await store.accounts.find(subject.unionId)).toMatchObject({ identity: { region: 'CN' } });
    });

    test('finds an account’s terminals and accessId, and the account by its accessId, also without tokens', async () => {
      const { subject, id } = newSubject();
      const phones = await acquired(store, id);
      const accessId = `-9${String(systemClock.random()).slice(2, 18)}`;
      const record = recordOf(subject, phones.generation, 60_000, { accessId });
      await store.terminals.save(phones, record, farOff());
      expect(await store.accounts.find(subject.unionId)).toEqual({
        identity: { accessId, region: 'CN' },
        records: [record],
      });
      await store.terminals.remove(id);
      expect(await store.accounts.find(subject.unionId)).toEqual({ identity: { accessId, region: 'CN' }, records: [] });
      expect(await store.accounts.lookUp([accessId, '17'])).toEqual(new Map([[accessId, subject.unionId]]));
    });

    /** Logs in anew, with a token that has this accessId. */
    async function savedWith(accessId: string, subject: Subject): Promise<void> {
      const lease = await acquired(store, subjectId(subject));
      const record = recordOf(subject, lease.generation, 60_000, { accessId });
      expect(await store.terminals.save(lease, record, farOff())).toBe('saved');
    }

    function newAccessIds(count: number): string[] {
      return Array.from({ length: count }, (_, number) => `${number + 1}${String(systemClock.random()).slice(2, 14)}`);
    }

    function foundBy(accessIds: readonly string[], { unionId }: Subject): ReadonlyMap<string, string> {
      return new Map(accessIds.map((accessId) => [accessId, unionId]));
    }

    test('shows the newest accessId of an account, and finds the account by the former one too', async () => {
      const { subject } = newSubject();
      const [older = '', newer = ''] = newAccessIds(2);
      for (const accessId of [older, newer]) await savedWith(accessId, subject);
      expect(await store.accounts.find(subject.unionId)).toMatchObject({ identity: { accessId: newer } });
      expect(await store.accounts.lookUp([older, newer])).toEqual(foundBy([older, newer], subject));
      await savedWith(older, subject);
      expect(await store.accounts.find(subject.unionId)).toMatchObject({ identity: { accessId: older } });
      expect(await store.accounts.lookUp([older, newer])).toEqual(foundBy([older, newer], subject));
    });

    test('finds an account by the accessId of each app, also if the apps log in at once', async () => {
      const { subject } = newSubject();
      const accessIds = newAccessIds(8);
      const logIns = accessIds.map((accessId, number) => savedWith(accessId, { ...subject, app: `app-${number}` }));
      await Promise.all(logIns);
      expect(await store.accounts.lookUp(accessIds)).toEqual(foundBy(accessIds, subject));
    });

    test('finds an account by its last 64 accessIds, and by none of them after an erasure', async () => {
      const { subject, id } = newSubject();
      const accessIds = newAccessIds(66);
      for (const accessId of accessIds.slice(0, 65)) await savedWith(accessId, subject);
      expect(await saveAccessId(await acquired(store, id), subject, accessIds[65], 'CN')).toBe('saved');
      expect(await store.accounts.lookUp(accessIds)).toEqual(foundBy(accessIds.slice(2), subject));
      await store.accounts.erase(subject.unionId);
      expect(await store.accounts.lookUp(accessIds)).toEqual(new Map());
      await savedWith(accessIds[0] ?? '', subject);
      expect(await store.accounts.lookUp(accessIds)).toEqual(foundBy(accessIds.slice(0, 1), subject));
    });

    test('allows the maximum number of terminals per account, and another one after a logout', async () => {
      const { subject } = newSubject();
      const ids = phonesOf(subject, TERMINALS + 1);
      for (const terminal of ids.slice(0, TERMINALS)) await saved(store, terminal);
      const [first, last] = [ids[0] ?? subject, ids[TERMINALS] ?? subject];
      expect(await store.terminals.acquire(subjectId(last), LEASE_MS)).toEqual({
        kind: 'terminal_limit',
        endedRead: false,
      });
      expect((await store.terminals.acquire(subjectId(first), LEASE_MS)).kind).toBe('granted');
      await store.terminals.remove(subjectId(first));
      expect((await store.terminals.acquire(subjectId(last), LEASE_MS)).kind).toBe('granted');
    });

    test('allows no more terminals than that when they log in at the same time', async () => {
      const { subject } = newSubject();
      const terminals = phonesOf(subject, 25);
      const leases = await Promise.all(terminals.map((terminal) => acquired(store, subjectId(terminal))));
      const outcomes = await Promise.all(
        leases.map((lease, number) =>
          store.terminals.save(lease, recordOf(terminals[number] ?? subject, lease.generation), farOff()),
        ),
      );
      expect(outcomes.filter((outcome) => outcome === 'saved')).toHaveLength(TERMINALS);
      expect(outcomes.filter((outcome) => outcome === 'terminal_limit')).toHaveLength(25 - TERMINALS);
    });

    test('makes the token of a login suspect that overlapped with one above the limit', async () => {
      const { subject } = newSubject();
      const terminals = phonesOf(subject);
      const another = { ...subject, uniqueId: 'tablet' };
      const lease = await acquired(store, subjectId(another));
      for (const terminal of terminals) await saved(store, terminal);
      const refused = loginOf(another, lease.generation, 100);
      expect(await store.terminals.save(lease, refused, farOff())).toBe('terminal_limit');
      const overlapping = loginOf(another, lease.generation + 50, 100);
      expect(await store.terminals.restore(overlapping, farOff())).toBe('suspect');
    });

    test('renews and restores tokens of an account that has its maximum number of terminals', async () => {
      const { subject } = newSubject();
      const terminals = phonesOf(subject);
      // The second round renews. `saved` expects each write to be accepted.
      for (const terminal of [...terminals, ...terminals]) await saved(store, terminal);
      const record = recordOf({ ...subject, uniqueId: 'tablet' }, systemClock.now());
      expect(await store.terminals.restore(record, farOff())).toBe('saved');
      expect((await store.terminals.read(subjectId(record.subject))).record).toEqual(record);
    });

    test('does not count a terminal whose token has expired', async () => {
      const { subject } = newSubject();
      const terminals = phonesOf(subject);
      for (const terminal of terminals) await saved(store, terminal, 50_000, 100);
      await eventually(() => acquired(store, subjectId({ ...subject, uniqueId: 'another' })));
    });

    test('gives the place of an expired token to another terminal', async () => {
      const { subject } = newSubject();
      const terminals = phonesOf(subject);
      const expired = { ...subject, uniqueId: 'tablet' };
      await saved(store, expired, 50_000, 30);
      await sleep(60);
      for (const terminal of terminals) await saved(store, terminal);
      expect(await store.terminals.acquire(subjectId(expired), LEASE_MS)).toEqual({
        kind: 'terminal_limit',
        endedRead: true,
      });
    });

    test('shows support the terminals with a valid token only', async () => {
      const { subject } = newSubject();
      const expired = { ...subject, uniqueId: 'tablet' };
      await saved(store, subject);
      await saved(store, expired, 50_000, 30);
      await sleep(60);
      const { records } = await store.accounts.find(subject.unionId);
      expect(records.map((record) => record.subject)).toEqual([subject]);
    });

    test.each(ENDS)(
      'ends the terminals, due times and logins in progress of an account with %s; an erasure also its country and accessId',
      async (...end) => {
        const [, act, how, at] = end;
        const { subject, id } = newSubject();
        const { unionId } = subject;
        const accessId = `3${String(systemClock.random()).slice(2, 14)}`;
        const lease = await acquired(store, id);
        await store.terminals.save(lease, recordOf(subject, lease.generation, 60_000, { accessId }), systemClock.now());
        const tablet = { ...subject, uniqueId: 'tablet' };
        const inFlight = await acquired(store, subjectId(tablet));
        const endedAt = await store.accounts[act](unionId);
        expect(endedAt).toBeGreaterThan(inFlight.generation);
        expect(await store.terminals.read(id)).toEqual({ record: undefined, [at]: endedAt });
        const identity = act === 'erase' ? undefined : { accessId, region: 'CN' };
        expect(await store.accounts.find(unionId)).toMatchObject({ identity, records: [], [at]: endedAt });
        expect(await store.accounts.lookUp([accessId])).toEqual(identity ? foundBy([accessId], subject) : new Map());
        expect(await store.accounts.identify(unionId)).toEqual(identity);
        expect(await claims(store, id)).toBe(false);
        expect(await store.terminals.save(inFlight, recordOf(tablet, inFlight.generation), farOff())).toBe('outdated');
        const next = await store.terminals.acquire(id, LEASE_MS);
        expect(next).toMatchObject({ kind: 'granted', region: identity?.region, sessionsEndedAt: endedAt });
        await eventually(() => expect(endsOf(unionId)).toEqual([[how, endedAt]]));
        expect(await store.accounts[act](unionId)).toBeGreaterThan(endedAt);
      },
    );

    test.each(ENDS)('refuses a token and a logout by a session from before %s', async (...end) => {
      const [, act] = end;
      const { subject, id } = newSubject();
      const endedAt = await store.accounts[act](subject.unionId);
      const later = recordOf(subject, endedAt + 1);
      expect(await store.terminals.restore(later, farOff(), endedAt)).toBe('outdated');
      expect(await store.terminals.remove(id, endedAt)).toBeUndefined();
      expect(await store.terminals.restore(later, farOff(), endedAt + 1)).toBe('suspect');
      expect(await store.terminals.remove(id, endedAt + 1)).toBeDefined();
    });

    test('lets an erased account log in again, also with another country, and remembers the erasure', async () => {
      const { subject, id } = await savedNew();
      const erasedAt = await store.accounts.erase(subject.unionId);
      const answer = await store.terminals.acquire(id, LEASE_MS);
      if (answer.kind !== 'granted') throw new Error(answer.kind);
      expect(answer.region).toBeUndefined();
      const record = { ...recordOf(subject, answer.lease.generation), region: 'US' };
      expect(await store.terminals.save(answer.lease, record, farOff())).toBe('saved');
      expect(await store.terminals.read(id)).toEqual({ record, erasedAt });
      expect(await store.accounts.find(subject.unionId)).toMatchObject({ identity: { region: 'US' }, erasedAt });
    });

    /** Stores the accessId of an account without a token. */
    const saveAccessId = (lease: Lease, { unionId }: Subject, accessId = '77', region = 'DE') =>
      store.terminals.saveAccessId(lease, { unionId, accessId, region });

    /** An account that has obtained its accessId without a token. */
    async function known(accessId = `4${String(systemClock.random()).slice(2, 14)}`) {
      const { subject, id, lease } = await leased();
      const outcome = await saveAccessId(lease, subject, accessId);
      return { subject, id, lease, accessId, outcome };
    }

    test('stores an accessId without a token: no terminal, nothing due, and the lease is free again', async () => {
      const { subject, id, accessId, outcome } = await known();
      expect(outcome).toBe('saved');
      expect(await store.accounts.find(subject.unionId)).toEqual({ identity: { accessId, region: 'DE' }, records: [] });
      expect(await store.accounts.lookUp([accessId])).toEqual(new Map([[accessId, subject.unionId]]));
      expect((await store.terminals.read(id)).record).toBeUndefined();
      expect(await claims(store, id)).toBe(false);
      expect(await store.terminals.acquire(id, 1)).toMatchObject({ kind: 'granted', region: 'DE' });
      const others = phonesOf(subject);
      for (const other of others) await saved(store, other);
    });

    test('looks up an accessId of any text', async () => {
      const accessId = `${systemClock.random()} "用户"\n__proto__:*`;
      const { subject } = await known(accessId);
      expect(await store.accounts.lookUp([accessId, '__proto__'])).toEqual(new Map([[accessId, subject.unionId]]));
    });

    test('keeps the country and the token of an account that logged in before its accessId was stored', async () => {
      const { subject, record } = await savedNew();
      const other = subjectId({ ...subject, uniqueId: 'access-id' });
      const accessId = '-9223371996052586423';
      expect(await saveAccessId(await acquired(store, other), subject, accessId, 'US')).toBe('saved');
      expect(await store.accounts.find(subject.unionId)).toMatchObject({
        identity: { region: 'CN' },
        records: [record],
      });
    });

    test('stores no accessId after an erasure', async () => {
      const { subject, lease } = await leased();
      await store.accounts.erase(subject.unionId);
      expect(await saveAccessId(lease, subject)).toBe('outdated');
      expect(await store.accounts.find(subject.unionId)).toMatchObject({ identity: undefined, records: [] });
    });

    test('stores an accessId after a logout, also of the account, a newer lease, which stays, or a newer token of the same terminal', async () => {
      const changes: [change: (subject: Subject, id: SubjectId) => Promise<unknown>, lease: string][] = [
        [(_subject, id) => store.terminals.remove(id), 'granted'],
        [({ unionId }) => store.accounts.logOut(unionId), 'granted'],
        [(_subject, id) => eventually(() => acquired(store, id)), 'held'],
        [(subject) => eventually(() => saved(store, subject)), 'granted'],
      ];
      for (const [change, kind] of changes) {
        const { subject, id } = newSubject();
        const lease = await acquired(store, id, SHORT_LEASE_MS);
        await change(subject, id);
        const { record } = await store.terminals.read(id);
        expect(await saveAccessId(lease, subject)).toBe('saved');
        expect((await store.accounts.find(subject.unionId)).identity?.accessId).toBe('77');
        expect((await store.terminals.read(id)).record).toEqual(record);
        expect((await store.terminals.acquire(id, LEASE_MS)).kind).toBe(kind);
      }
    });

    test('ends the failures of the account with an accessId', async () => {
      const { subject, id } = newSubject();
      for (let round = 0; round < 2; round += 1) await fail(id, 'vendor_unavailable');
      expect((await store.terminals.acquire(id, LEASE_MS)).kind).toBe('cooling');
      const lease = await eventually(() => acquired(store, id));
      await saveAccessId(lease, subject, '78');
      await fail(id, 'vendor_unavailable');
      expect((await store.terminals.acquire(id, LEASE_MS)).kind).toBe('granted');
    });

    test('erases an account that has only an accessId, and keeps it when it obtains one again', async () => {
      const { subject, id, accessId } = await known();
      const erasedAt = await store.accounts.erase(subject.unionId);
      expect(await store.accounts.find(subject.unionId)).toMatchObject({ identity: undefined, records: [] });
      expect(await store.accounts.lookUp([accessId])).toEqual(new Map());
      expect(await saveAccessId(await acquired(store, id), subject, accessId, 'US')).toBe('saved');
      expect(await store.accounts.find(subject.unionId)).toMatchObject({ identity: { accessId, region: 'US' } });
      expect((await store.terminals.read(id)).erasedAt).toBe(erasedAt);
    });

    test('grants the burst of permits at once, then one per interval', async () => {
      const name = `rate ${systemClock.random()}`;
      const waits = await Promise.all(Array.from({ length: 8 }, () => store.rateLimiter.take(name, 10_000, 5)));
      expect(waits.filter((wait) => wait === 0)).toHaveLength(5);
      for (const wait of waits.filter((ms) => ms > 0)) expect(wait).toBeLessThanOrEqual(10_000);
      expect(await store.rateLimiter.take(`${name} of another`, 10_000, 5)).toBe(0);
    });

    test('grants the next permit after its interval', async () => {
      const name = `rate ${systemClock.random()}`;
      expect(await store.rateLimiter.take(name, 300, 1)).toBe(0);
      const wait = await store.rateLimiter.take(name, 300, 1);
      expect(wait).toBeGreaterThan(0);
      await sleep(wait + 5);
      expect(await store.rateLimiter.take(name, 300, 1)).toBe(0);
    });

    test('answers a ping', async () => {
      await expect(store.health.ping()).resolves.toBeUndefined();
    });
  });

  describe(`the queue of logins in ${name}`, () => {
    let store: TokenStore;
    let startedAt: number;

    // Each test has its own, empty queue.
    beforeEach(async () => {
      store = await open();
      startedAt = systemClock.now();
    });
    afterEach(() => store.close());

    /** An account that asks once, or one that asks again. */
    type Request = Urgency | { readonly urgency: Urgency; readonly account: AccountId };

    /** One after the other: a Cluster does not keep the order of commands that are sent at once. */
    async function ask(pace: Pace, requests: readonly Request[]): Promise<Place[]> {
      const places: Place[] = [];
      for (const request of requests) {
        const asked = typeof request === 'string' ? { urgency: request, account: anyAccount() } : request;
        places.push(await store.loginQueue.reserve(pace, asked.urgency, asked.account));
      }
      return places;
    }

    /** The places in an empty queue, asked for within three quarters of an interval. */
    async function reserved(pace: Pace, ...requests: Request[]): Promise<Place[]> {
      // This machine may stand still for so long.
      for (let attempt = 0; attempt < 10; attempt += 1) {
        await store.close();
        store = await open();
        // The first command to a server waits for its connection.
        await store.loginQueue.nextPlaceInMs();
        startedAt = systemClock.now();
        const places = await ask(pace, requests);
        if (systemClock.now() - startedAt < 0.75 * pace.intervalMs) return places;
      }
      throw new Error(`this machine took an interval of ${pace.intervalMs} ms for ${requests.length} requests`);
    }

    /** Expects the place that is `dueMs` after the first one. Some of that time has passed by now. */
    function expectPlace(place: Place | undefined, dueMs: number, granted = true): void {
      const passedMs = systemClock.now() - startedAt;
      expect(place?.granted).toBe(granted);
      expect(place?.waitMs).toBeLessThanOrEqual(dueMs);
      expect(place?.waitMs).toBeGreaterThanOrEqual(Math.max(granted ? 0 : 1, dueMs - passedMs - 1));
    }

    test('gives each place to one of forty parallel requests', async () => {
      const pace = { intervalMs: 2_000, burst: 5 };
      const places = await Promise.all(
        Array.from({ length: 40 }, () => store.loginQueue.reserve(pace, 'foreground', anyAccount())),
      );
      expect(places.filter(({ granted, waitMs }) => granted && waitMs === 0)).toHaveLength(5);
      expect(places.filter(({ granted, waitMs }) => granted && waitMs > 0)).toHaveLength(1);
      expect(places.filter(({ granted }) => !granted)).toHaveLength(34);
    });

    test('tells when the next place in the login queue is free, and takes none', async () => {
      const pace = { intervalMs: 400, burst: 1 };
      await reserved(pace, 'foreground', 'foreground');
      const first = await store.loginQueue.nextPlaceInMs();
      expect(first).toBeLessThanOrEqual(800);
      expect(first).toBeGreaterThan(0);
      await sleep(50);
      expect(await store.loginQueue.nextPlaceInMs()).toBeLessThan(first ?? 0);
      await eventually(async () => ((await store.loginQueue.nextPlaceInMs()) ?? -1) < 0);
    });

    test('lets accounts with a recent login queue for at most 250 ms, and gives them a fourth of the places while a newcomer waits', async () => {
      const pace = { intervalMs: 125, burst: 1 };
      const returning = { urgency: 'foreground', account: anyAccount() } as const;
      const fourTimes = Array.from({ length: 4 }, () => returning);
      const places = await reserved(pace, ...fourTimes, 'foreground', returning, 'background');
      const expected = [0, 125, 250, 125, 375, 500, 500];
      const refused = [3, 5];
      for (const [number, dueMs] of expected.entries()) expectPlace(places[number], dueMs, !refused.includes(number));
    });
  });
}
