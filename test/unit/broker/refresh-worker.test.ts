import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import type { RefreshPolicy } from '../../../src/token/renewal-timing.ts';
import { brokerParts, PHONE_ID as ID, PHONE, PROACTIVE } from '../../support/broker-parts.ts';
import { claimLeases } from '../../support/due-claims.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { accessTokenOf } from '../../support/served-token.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const LIFE_MS = 2_000;

/** A broker and a worker in virtual time. */
function startWorker(policy: Partial<RefreshPolicy> = {}) {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const observer = { ...silentObserver };
  const parts = brokerParts({ clock, store, observer, policy: { ...PROACTIVE, ...policy } });
  const { broker, vendor, worker } = parts;
  vendor.lifeMs = LIFE_MS;
  worker.start();
  onTestFinished(async () => {
    await Promise.all([worker.stop(), pass(1_000)]);
  });
  const read = async (subject = PHONE) => {
    const request = { subject, region: 'CN', sessionIssuedAt: clock.now() } as const;
    const [answer] = await Promise.all([broker.read(request), pass(vendor.latencyMs)]);
    return answer;
  };
  const stored = async () => (await store.terminals.read(ID)).record;
  /** Lets time pass until `isTrue`. */
  const until = async (isTrue: () => boolean | Promise<boolean>, withinMs: number) => {
    for (const end = clock.now() + withinMs; !(await isTrue()); await pass(20)) expect(clock.now()).toBeLessThan(end);
  };
  return { ...parts, clock, pass, observer, read, stored, until };
}

describe('the refresh worker', () => {
  test.each([
    ['once', {}, 2],
    ['as many times in a row as configured', { unreadLimit: 2 }, 3],
    ['not at all in on-demand mode', { mode: 'on-demand' }, 1],
  ] as const)('renews an unread token %s, then lets it expire and removes it from the due queue', async (...one) => {
    const [, policy, logins] = one;
    const { vendor, store, read, stored, until } = startWorker(policy);
    await read();
    await until(async () => (await stored()) === undefined, 2_000 * (logins + 1));
    expect(vendor.requests).toHaveLength(logins);
    expect((await claimLeases(store, 10, 1)).nextInMs).toBeUndefined();
  });

  test('renews a token again that an app has read after its last renewal, also if it is read only once', async () => {
    const { vendor, observer, read, until } = startWorker({ share: { from: 0.5, to: 0.5 } });
    const ended = vi.spyOn(observer, 'endedUnrenewed');
    vendor.lifeMs = 2 * LIFE_MS;
    await read();
    for (const logins of [2, 3]) {
      await until(() => vendor.requests.length === logins, 6_000);
      expect(accessTokenOf(await read())).toBe(`token-${logins}`);
    }
    await until(() => vendor.requests.length === 4, 6_000);
    expect(vendor.requests.map(({ urgency }) => urgency)).toEqual([
      'foreground',
      'background',
      'background',
      'background',
    ]);
    expect(ended).not.toHaveBeenCalled();
  });

  test('claims nothing if it is started after its stop, as in a replica that ends while it waits for its store', async () => {
    const { clock, pass } = virtualClock();
    const watched = watchedStore(createMemoryStore({ clock, terminalsPerAccount: 20 }));
    const { worker } = brokerParts({ clock, store: watched.store });
    await worker.stop();
    worker.start();
    await pass(20_000);
    expect(watched.calls('claim')).toBe(0);
  });
});
