import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Replica } from '../support/broker-service.ts';
import { eventually } from '../support/eventually.ts';
import { type Fleet, startFleet, startServices } from '../support/fleet.ts';
import { accessTokenOf, wasTaken } from '../support/served-token.ts';

const LIFETIME_SECONDS = 10;

// They wait for tokens to become due, so they wait at the same time.
describe.concurrent('tokens of ten seconds on two replicas', () => {
  /** The replicas of the tests that read little. Each has its own account. */
  let fleet: Fleet<Replica>;

  beforeAll(async () => {
    fleet = await startServices({ replicas: 2, vendor: { tokenLifetimeSeconds: LIFETIME_SECONDS } });
    return () => fleet.close();
  });

  test('that apps read ten times per second for a minute are always valid, without extra logins', async ({
    onTestFinished,
  }) => {
    const fleet = await startFleet({
      replicas: 2,
      vendor: { tokenLifetimeSeconds: LIFETIME_SECONDS, latencyMs: 50, mode: 'overlap' },
    });
    onTestFinished(() => fleet.close());
    const accounts = ['alice', 'bob', 'carol'];
    const sessions = await Promise.all(accounts.map((account) => fleet.session(account)));
    const statuses: number[] = [];
    let invalid = 0;
    const startedAt = performance.now();
    for (let round = 0; round < 600; round += 1) {
      await sleep(Math.max(0, startedAt + round * 100 - performance.now()));
      const askedAt = Date.now();
      const answer = await fleet.broker(round).getToken(sessions[round % accounts.length] ?? '', 'phone');
      statuses.push(answer.status);
      if (!wasTaken(fleet.vendor, answer, askedAt)) invalid += 1;
    }
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(invalid).toBe(0);
    const logins = accounts.map((account) => fleet.vendor.loginsOf(account, 'phone'));
    for (const count of logins) {
      expect(count).toBeGreaterThan(5);
      expect(count).toBeLessThanOrEqual(Math.ceil(60 / 7));
    }
    expect(fleet.vendor.state().concurrent).toBe(0);
  });

  test('that an app reads once after each renewal are renewed again, without another read', async () => {
    const session = await fleet.session('alice');
    const renewed = (count: number) =>
      eventually(() => expect(fleet.vendor.loginsOf('alice', 'phone')).toBe(count), { timeoutMs: 12_000 });
    await fleet.broker(0).getToken(session, 'phone');
    await renewed(2);
    await sleep(1_000);
    await fleet.broker(1).getToken(session, 'phone');
    await renewed(3);
    for (const { adminUrl } of fleet.brokers) {
      const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
      expect(metrics).toContain('sdk_token_broker_tokens_expired_unrenewed_total 0');
    }
  });

  test('that no app reads are renewed once, then expire, and the next read logs in again', async () => {
    const session = await fleet.session('bob');
    await fleet.broker(0).getToken(session, 'phone');
    await eventually(() => expect(fleet.vendor.loginsOf('bob', 'phone')).toBe(2), { timeoutMs: 12_000 });
    await sleep(2 * LIFETIME_SECONDS * 1_000);
    expect(fleet.vendor.loginsOf('bob', 'phone')).toBe(2);
    const answer = await fleet.broker(1).getToken(session, 'phone');
    expect(answer.status).toBe(200);
    expect(fleet.vendor.checkToken(accessTokenOf(answer)).live).toBe(true);
    expect(fleet.vendor.loginsOf('bob', 'phone')).toBe(3);
  });
});
