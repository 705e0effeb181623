import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { type Clock, systemClock } from '../../../src/token/clock.ts';
import type { TokenStore } from '../../../src/token/ports.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';
import { TestClock } from '../../support/test-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** Two replicas, the second of which hears nothing of what the first does, and believes it would. */
function replicas(clock: Clock) {
  const store: TokenStore = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const deaf: TokenStore = { ...store, announcements: { subscribe: () => undefined, completeSince: () => 0 } };
  const vendor = new ScriptedLogin(clock);
  const [hearing, other] = [store, deaf].map((one) => brokerParts({ clock, store: one, vendor }));
  if (!hearing || !other) throw new Error('no replicas');
  const read = ({ broker }: typeof hearing) =>
    broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: clock.now() });
  return { vendor, hearing, other, read };
}

describe('where an announcement is lost', () => {
  test('whoever waits for another replica’s login finds its token all the same', async () => {
    const { vendor, hearing, other, read } = replicas(systemClock);
    vendor.latencyMs = 100;
    const startedAt = performance.now();
    const [one, two] = await Promise.all([read(hearing), read(other)]);
    // Long before the lease would have run out.
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(two.etag).toBe(one.etag);
    expect(vendor.requests).toHaveLength(1);
  });

  test('a token that was logged out elsewhere is handed out for no longer than a minute', async () => {
    const clock = new TestClock();
    const { vendor, hearing, other, read } = replicas(clock);
    vendor.lifeMs = 600_000;
    const { etag } = await read(hearing);
    expect((await read(other)).etag).toBe(etag);
    await hearing.accounts.logOut(SUBJECT);
    clock.advance(59_999);
    expect((await read(other)).etag).toBe(etag);
    clock.advance(1);
    expect((await read(other)).etag).not.toBe(etag);
    expect(other.cache.getStale(ID)?.served.etag).not.toBe(etag);
    expect(vendor.requests).toHaveLength(2);
  });
});
