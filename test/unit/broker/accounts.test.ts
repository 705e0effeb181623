import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import type { Subject } from '../../../src/token/subject.ts';
import { brokerParts, PHONE as SUBJECT } from '../../support/broker-parts.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';

const SESSION = { sessionIssuedAt: undefined };

/** Replicas in one process. They share one store and one vendor. */
function createReplicas(count: number, perHour = 60) {
  const store = createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 });
  const vendor = new ScriptedLogin();
  const replicas = Array.from({ length: count }, () => brokerParts({ store, vendor, perHour }));
  const read = async (
    replica: number,
    options: { refused?: string; subject?: Subject; region?: string; at?: number } = {},
  ) => {
    const { subject = SUBJECT, region = 'CN', refused, at = systemClock.now() } = options;
    const request = { subject, region, sessionIssuedAt: at, refused };
    const parts = replicas[replica % count];
    if (!parts) throw new RangeError('no replica');
    return parts.broker.read(request);
  };
  return { store, vendor, replicas, read };
}

describe('a refused token', () => {
  test('is answered with its replacement when reported late, even by a replica that missed the announcement', async () => {
    const { vendor, store, read } = createReplicas(2);
    const { etag } = await read(0);
    await read(1);
    store.announcements.completeSince = () => 0;
    const newer = await read(0, { refused: etag });
    expect((await read(1, { refused: etag })).etag).toBe(newer.etag);
    expect((await read(0, { refused: '"never-seen"' })).etag).toBe(newer.etag);
    expect(vendor.requests).toHaveLength(2);
  });
});

describe('the logins of an account', () => {
  test('are limited across all replicas and terminals', async () => {
    const { vendor, read, replicas } = createReplicas(2, 4);
    const outcomes: unknown[] = [];
    for (let round = 0; round < 8; round += 1) {
      const answer = await read(round).catch((error) => error);
      outcomes.push(answer.code ?? 'ok');
      await replicas[round % 2]?.accounts.logOut(SUBJECT, 'operator');
    }
    expect(outcomes).toEqual([...Array(4).fill('ok'), ...Array(4).fill('rate_limited')]);
    expect(vendor.requests).toHaveLength(4);
    expect((await read(0, { subject: { ...SUBJECT, unionId: 'bob' } })).etag).toBeTruthy();
  });

  test('share their limit with the logouts of its apps', async () => {
    const { vendor, read, replicas } = createReplicas(2, 4);
    const logOut = (replica: number) => replicas[replica]?.accounts.logOut(SUBJECT, SESSION);
    for (const replica of [0, 1]) {
      await read(replica);
      await logOut(replica);
    }
    await expect(read(0)).rejects.toMatchObject({ code: 'rate_limited' });
    await expect(logOut(1)).rejects.toMatchObject({ code: 'rate_limited' });
    expect(vendor.requests).toHaveLength(2);
  });
});

describe('an erasure', () => {
  test('makes every replica refuse the logout of an older session, which ends no token and counts against no limit', async () => {
    const { vendor, replicas, read } = createReplicas(2, 3);
    const before = systemClock.now() - 1_000;
    await replicas[0]?.accounts.erase('alice');
    const { etag } = await read(0, { at: systemClock.now() + 1_000 });
    for (const sessionIssuedAt of [before, undefined, before, before]) {
      for (const { accounts } of replicas) {
        await expect(accounts.logOut(SUBJECT, { sessionIssuedAt })).rejects.toMatchObject({ code: 'session_invalid' });
      }
    }
    const after = systemClock.now() + 1_000;
    expect((await read(0, { at: after })).etag).toBe(etag);
    expect((await read(1, { at: after })).etag).toBe(etag);
    expect(vendor.requests).toHaveLength(1);
    await replicas[1]?.accounts.logOut(SUBJECT, { sessionIssuedAt: after });
    expect((await read(0, { at: after })).etag).not.toBe(etag);
    await replicas[1]?.accounts.logOut(SUBJECT, 'operator');
  });
});
