import { describe, type TestContext, test, vi } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { silentObserver } from '../../../src/token/observer.ts';
import type { RefreshPolicy } from '../../../src/token/renewal-timing.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts, PROACTIVE } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { makeDue } from '../../support/make-due.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const LIFE_MS = 2_000;
/** A token is due after 10 % of its life. */
const DUE_EARLY = { share: { from: 0.1, to: 0.1 } };

function startWorker(onFinished: TestContext['onTestFinished'], policy: Partial<RefreshPolicy> = {}) {
  const watched = watchedStore(createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 }));
  const observer = { ...silentObserver };
  const parts = brokerParts({ store: watched.store, observer, policy: { ...PROACTIVE, ...policy } });
  parts.vendor.lifeMs = LIFE_MS;
  parts.worker.start();
  onFinished(() => parts.worker.stop());
  return {
    ...parts,
    observer,
    watched,
    read: (subject = SUBJECT) => parts.broker.read({ subject, region: 'CN', sessionIssuedAt: systemClock.now() }),
  };
}

describe.concurrent('the refresh worker', () => {
  test('renews a token in use early enough that no read waits for a login', async ({ onTestFinished, expect }) => {
    const { vendor, read } = startWorker(onTestFinished);
    await read();
    const until = systemClock.now() + 3 * LIFE_MS;
    while (systemClock.now() < until) {
      const { record } = await read();
      expect(record.token.expiresAt).toBeGreaterThan(systemClock.now());
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(vendor.requests.length).toBeGreaterThanOrEqual(4);
    expect(vendor.requests.length).toBeLessThanOrEqual(6);
    expect(vendor.mostConcurrent).toBe(1);
  });

  test('renews an unread token once, then lets it expire and removes it from the due queue', async ({
    onTestFinished,
    expect,
  }) => {
    const { vendor, store, read } = startWorker(onTestFinished);
    await read();
    await eventually(async () => expect((await store.terminals.read(ID)).record).toBeUndefined(), { timeoutMs: 6_000 });
    expect(vendor.requests).toHaveLength(2);
    expect((await store.dueQueue.claim(10, 1)).nextInMs).toBeUndefined();
  });

  test('renews a token again that an app has read after its last renewal, also if it is read only once', async ({
    onTestFinished,
    expect,
  }) => {
    const { vendor, observer, read } = startWorker(onTestFinished, { share: { from: 0.5, to: 0.5 } });
    const ended = vi.spyOn(observer, 'endedUnrenewed');
    vendor.lifeMs = 2 * LIFE_MS;
    await read();
    for (const logins of [2, 3]) {
      await eventually(() => expect(vendor.requests).toHaveLength(logins), { timeoutMs: 6_000 });
      await eventually(async () => expect((await read()).record.token.fields['accessToken']).toBe(`token-${logins}`));
    }
    await eventually(() => expect(vendor.requests).toHaveLength(4), { timeoutMs: 6_000 });
    expect(vendor.requests.map(({ urgency }) => urgency)).toEqual([
      'foreground',
      'background',
      'background',
      'background',
    ]);
    expect(ended).not.toHaveBeenCalled();
  });

  test('renews an unread token as many times in a row as configured', async ({ onTestFinished, expect }) => {
    const { vendor, store, read } = startWorker(onTestFinished, { unreadLimit: 2 });
    await read();
    await eventually(async () => expect((await store.terminals.read(ID)).record).toBeUndefined(), { timeoutMs: 8_000 });
    expect(vendor.requests).toHaveLength(3);
  });

  test('renews nothing in the background in on-demand mode', async ({ onTestFinished, expect }) => {
    const { vendor, store, read } = startWorker(onTestFinished, { mode: 'on-demand' });
    await read();
    await eventually(async () => expect((await store.terminals.read(ID)).record).toBeUndefined(), { timeoutMs: 4_000 });
    expect(vendor.requests).toHaveLength(1);
  });

  test('renews 200 tokens that become due together, loses none, and runs at most 128 renewals at a time', async ({
    onTestFinished,
    expect,
  }) => {
    const { vendor, store, broker } = startWorker(onTestFinished, { share: { from: 0.5, to: 0.5 } });
    const subjects = Array.from({ length: 200 }, (_, number) => ({ ...SUBJECT, unionId: `account-${number}` }));
    await Promise.all(
      subjects.map((subject) => broker.read({ subject, region: 'CN', sessionIssuedAt: systemClock.now() })),
    );
    vendor.latencyMs = 100;
    vendor.mostInAll = 0;
    await eventually(() => expect(vendor.requests.length).toBe(400), { timeoutMs: 3_000 });
    expect(vendor.mostInAll).toBeLessThanOrEqual(128);
    expect(vendor.mostInAll).toBeGreaterThan(100);
    await eventually(async () => {
      for (const subject of subjects) {
        const { record } = await store.terminals.read(subjectId(subject));
        expect(record?.unreadRenewals).toBe(1);
      }
    });
  });

  test('retries after a failure while the old token can still be served', async ({ onTestFinished, expect }) => {
    const { vendor, store, read } = startWorker(onTestFinished, { share: { from: 0.2, to: 0.2 } });
    vendor.lifeMs = 10_000;
    await read();
    vendor.failure = new BrokerError('vendor_unavailable');
    await eventually(() => expect(vendor.requests.length).toBe(2), { timeoutMs: 4_000 });
    vendor.failure = undefined;
    const before = (await store.terminals.read(ID)).record?.generation ?? 0;
    await eventually(async () => expect((await store.terminals.read(ID)).record?.generation).toBeGreaterThan(before), {
      timeoutMs: 6_000,
    });
    expect(vendor.requests).toHaveLength(3);
  });

  test('continues after an outage of the store', async ({ onTestFinished, expect }) => {
    const { vendor, watched, read } = startWorker(onTestFinished, { share: { from: 0.1, to: 0.1 } });
    vendor.lifeMs = 20_000;
    await read();
    watched.down.add('claim');
    await eventually(() => expect(watched.calls('claim')).toBeGreaterThan(3), { timeoutMs: 5_000 });
    watched.down.delete('claim');
    await eventually(() => expect(vendor.requests.length).toBe(2), { timeoutMs: 3_000 });
  });

  test('releases the claims that it receives while it stops', async ({ onTestFinished, expect }) => {
    const { vendor, store, worker, watched, read } = startWorker(onTestFinished, DUE_EARLY);
    vendor.lifeMs = 20_000;
    await read();
    let answerClaim = () => {};
    watched.late.set(
      'claim',
      new Promise((resolve) => {
        answerClaim = resolve;
      }),
    );
    const claimsBefore = watched.calls('claim');
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    await eventually(() => expect(watched.calls('claim')).toBe(claimsBefore + 1), { timeoutMs: 6_000 });
    const stopped = worker.stop();
    answerClaim();
    await stopped;
    expect(vendor.requests).toHaveLength(1);
    expect((await store.dueQueue.claim(1, 100)).claims).toHaveLength(1);
  });

  test('does not read the due queue again for each renewal that ends', async ({ onTestFinished, expect }) => {
    const { vendor, watched, read } = startWorker(onTestFinished, DUE_EARLY);
    vendor.lifeMs = 20_000;
    const subjects = Array.from({ length: 30 }, (_, number) => ({ ...SUBJECT, unionId: `account-${number}` }));
    await Promise.all(subjects.map((subject) => read(subject)));
    vendor.lifeMs = 600_000;
    // The logins end one after another.
    Object.defineProperty(vendor, 'latencyMs', { get: () => 20 * (vendor.requests.length - subjects.length) });
    const claimsBefore = watched.calls('claim');
    await eventually(() => expect(watched.calls('save')).toBe(2 * subjects.length), { timeoutMs: 6_000 });
    expect(watched.calls('claim') - claimsBefore).toBeLessThan(10);
  });

  test('finishes the running renewals when it stops, and starts no new ones', async ({ onTestFinished, expect }) => {
    const { vendor, store, worker, watched, read } = startWorker(onTestFinished);
    vendor.lifeMs = 3_000;
    await read();
    vendor.latencyMs = 300;
    await eventually(() => expect(vendor.requests.length).toBe(2), { timeoutMs: 4_000 });
    await worker.stop();
    expect((await store.terminals.read(ID)).record?.unreadRenewals).toBe(1);
    await makeDue(store, ID, systemClock.now());
    const claimsAtStop = watched.calls('claim');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(watched.calls('claim')).toBe(claimsAtStop);
    expect(vendor.requests).toHaveLength(2);
  });
});
