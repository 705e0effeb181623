import { describe, expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { mostPerSecond, percentile } from '../support/statistics.ts';
import { failedReads, repeatedly, reportFault, timedRead } from './fault-report.ts';

const DUE_AT_HALF = { REFRESH_AT: '0.5-0.5', VENDOR_TIMEOUT_MS: '2000' };

/** Starts replicas with a login budget, and gets tokens that are due together, through a replica without a budget. */
async function fleetOf(accounts: number, maxRps: number, lifetimeSeconds: number, replicas: number, env = {}) {
  const fleet = await startFleet({
    replicas,
    vendor: { tokenLifetimeSeconds: lifetimeSeconds },
    env: { ...DUE_AT_HALF, VENDOR_MAX_RPS: String(maxRps), ...env },
  });
  onTestFinished(() => fleet.close());
  const sessions = await Promise.all(
    Array.from({ length: accounts }, (_, number) => fleet.session(`account-${number}`)),
  );
  const unlimited = await startBroker({ ...fleet.env, VENDOR_MAX_RPS: '0' });
  onTestFinished(() => void unlimited.stop());
  const obtained = await Promise.all(sessions.map((session) => timedRead(fleet, unlimited, session)));
  expect(obtained.filter(({ status }) => status !== 200)).toEqual([]);
  await unlimited.stop();
  return { fleet, sessions, loadedAt: Date.now() };
}

describe('the login budget', () => {
  test('spreads 80 renewals that are due together: every read gets a valid token, and logins of waiting apps go first', async () => {
    const { fleet, sessions, loadedAt } = await fleetOf(80, 20, 40, 3);
    await eventually(() => expect(fleet.vendor.state().succeeded).toBeGreaterThan(80), { timeoutMs: 30_000 });
    const newTerminals = await repeatedly(3_000, 200, async (round) =>
      timedRead(fleet, fleet.broker(round), await fleet.session(`new-${round}`)),
    );
    await eventually(() => expect(fleet.vendor.state().succeeded).toBe(160 + newTerminals.length), {
      timeoutMs: 20_000,
    });
    const reads = await Promise.all(sessions.map((session, number) => timedRead(fleet, fleet.broker(number), session)));
    expect(failedReads(reads)).toEqual([]);
    expect(newTerminals.filter(({ status }) => status !== 200)).toEqual([]);
    const p95 = percentile(
      newTerminals.map(({ tookMs }) => tookMs),
      0.95,
    );
    expect(p95).toBeLessThan(2_000);
    const most = mostPerSecond(fleet.vendor.state().attempts.filter((at) => at > loadedAt));
    expect(most).toBeLessThanOrEqual(25);
    reportFault({
      fault: '80 tokens due together, budget 20 logins/s, 3 replicas, a new terminal every 200 ms',
      promise: 'no invalid token, no failed read; ≤ 25 login attempts in any second; new terminals < 2 s (p95)',
      measured: `0 invalid, 0 failed; at most ${most} attempts in a second; new terminals ${p95.toFixed(0)} ms (p95)`,
    });
  }, 120_000);

  test.each([
    { maxRps: 10, newcomers: 50, tokens: 40 },
    { maxRps: 50, newcomers: 100, tokens: 200 },
  ])(
    'of $maxRps/s renews $tokens tokens in time, although $newcomers newcomers a second want it',
    async (load) => {
      const lifeMs = 60_000;
      const { fleet, loadedAt } = await fleetOf(load.tokens, load.maxRps, lifeMs / 1_000, 2, { REFRESH_AT: '0.6-0.8' });
      // The renewals of the new terminals would exceed the budget by themselves.
      fleet.vendor.configure({ tokenLifetimeSeconds: 3_600 });
      const newTerminals = repeatedly(lifeMs - 3_000, 1_000 / load.newcomers, async (round) =>
        timedRead(fleet, fleet.broker(round), await fleet.session(`new-${round}`)),
      );
      // No token is served in the last 5 % of its life.
      await new Promise((resolve) => setTimeout(resolve, loadedAt + 0.95 * lifeMs - Date.now()));
      const accounts = Array.from({ length: load.tokens }, (_, number) => `account-${number}`);
      const renewed = accounts.filter((account) => fleet.vendor.loginsOf(account, 'phone') > 1).length;
      const served = (await newTerminals).filter(({ status }) => status === 200).length;
      const most = mostPerSecond(fleet.vendor.state().attempts.filter((at) => at > loadedAt));
      expect(renewed).toBe(load.tokens);
      expect(most).toBeLessThanOrEqual(1.25 * load.maxRps);
      reportFault({
        fault: `${load.newcomers} new terminals a second, budget ${load.maxRps} logins/s, ${load.tokens} tokens of 60 s, 2 replicas`,
        promise: 'each token is renewed before its end; ≤ budget + 25 % in any second',
        measured: `${renewed} of ${load.tokens} renewed in time; ${served} new terminals served; at most ${most} attempts in a second`,
      });
    },
    120_000,
  );

  test('sends few logins during a vendor outage of 30 s with 60 due renewals, then catches up within the budget', async () => {
    const { fleet, sessions } = await fleetOf(60, 10, 100, 2);
    fleet.vendor.configure({ fault: 'http-500' });
    await eventually(() => expect(fleet.vendor.state().requests).toBeGreaterThan(60), { timeoutMs: 60_000 });
    const before = fleet.vendor.state();
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    const during = fleet.vendor.state().requests - before.requests;
    fleet.vendor.configure({ fault: 'none' });
    const recoveredAt = Date.now();
    await eventually(() => expect(fleet.vendor.state().succeeded).toBeGreaterThanOrEqual(120), { timeoutMs: 30_000 });
    const after = fleet.vendor.state().attempts.filter((at) => at >= recoveredAt);
    const most = mostPerSecond(after);
    expect(during / 30).toBeLessThan(2);
    expect(most).toBeLessThanOrEqual(12.5);
    const reads = await Promise.all(sessions.map((session, number) => timedRead(fleet, fleet.broker(number), session)));
    expect(failedReads(reads)).toEqual([]);
    reportFault({
      fault: 'vendor down for 30 s with 60 due renewals, budget 10 logins/s, 2 replicas',
      promise: '< 2 attempts/s during the outage; ≤ budget + 25 % in any second after it; no invalid token',
      measured: `${(during / 30).toFixed(2)} attempts/s during the outage; at most ${most} in a second after it; 0 invalid`,
    });
  }, 180_000);
});
