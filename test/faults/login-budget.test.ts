import { describe, expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { mostPerSecond, percentile, repeatedly, report, sample } from './board.ts';

const DUE_AT_HALF = { REFRESH_AT: '0.5-0.5', VENDOR_TIMEOUT_MS: '2000' };

/** Replicas on a budget, and accounts whose tokens fall due together: obtained at once by one that had none. */
async function fleetOf(accounts: number, maxRps: number, lifetimeSeconds: number, replicas: number) {
  const fleet = await startFleet({
    replicas,
    vendor: { tokenLifetimeSeconds: lifetimeSeconds },
    env: { ...DUE_AT_HALF, VENDOR_MAX_RPS: String(maxRps) },
  });
  onTestFinished(() => fleet.close());
  const sessions = await Promise.all(
    Array.from({ length: accounts }, (_, number) => fleet.session(`account-${number}`)),
  );
  const spendthrift = await startBroker({ ...fleet.env, VENDOR_MAX_RPS: '0' });
  onTestFinished(() => void spendthrift.stop());
  const obtained = await Promise.all(sessions.map((session) => sample(fleet, spendthrift, session)));
  expect(obtained.filter(({ status }) => status !== 200)).toEqual([]);
  await spendthrift.stop();
  return { fleet, sessions, loadedAt: Date.now() };
}

describe('the login budget', () => {
  test('spreads eighty tokens due together over three replicas: none dead, none refused, newcomers first', async () => {
    const { fleet, sessions, loadedAt } = await fleetOf(80, 20, 40, 3);
    await eventually(() => expect(fleet.vendor.state().succeeded).toBeGreaterThan(80), { timeoutMs: 30_000 });
    const newcomers = await repeatedly(3_000, 200, async (round) =>
      sample(fleet, fleet.broker(round), await fleet.session(`newcomer-${round}`)),
    );
    await eventually(() => expect(fleet.vendor.state().succeeded).toBe(160 + newcomers.length), { timeoutMs: 20_000 });
    const reads = await Promise.all(sessions.map((session, number) => sample(fleet, fleet.broker(number), session)));
    expect(reads.filter(({ status, live }) => status !== 200 || !live)).toEqual([]);
    expect(newcomers.filter(({ status }) => status !== 200)).toEqual([]);
    const p95 = percentile(
      newcomers.map(({ tookMs }) => tookMs),
      0.95,
    );
    expect(p95).toBeLessThan(2_000);
    const most = mostPerSecond(fleet.vendor.state().attempts.filter((at) => at > loadedAt));
    expect(most).toBeLessThanOrEqual(25);
    report({
      fault: '80 tokens due together, budget 20/s, 3 replicas, a newcomer every 200 ms',
      promise: 'none dead, none refused; ≤ 25 attempts in any second; newcomers < 2 s (p95)',
      measured: `0 dead, 0 refused; at most ${most} attempts in a second; newcomers ${p95.toFixed(0)} ms (p95)`,
    });
  }, 120_000);

  test('spares a vendor that is out for thirty seconds with sixty renewals due, then drains at its own pace', async () => {
    const { fleet, sessions } = await fleetOf(60, 10, 100, 2);
    fleet.vendor.configure({ fault: 'http-500' });
    await eventually(() => expect(fleet.vendor.state().requests).toBeGreaterThan(60), { timeoutMs: 60_000 });
    const before = fleet.vendor.state();
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    const during = fleet.vendor.state().requests - before.requests;
    fleet.vendor.configure({ fault: 'none' });
    const wellAt = Date.now();
    await eventually(() => expect(fleet.vendor.state().succeeded).toBeGreaterThanOrEqual(120), { timeoutMs: 30_000 });
    const after = fleet.vendor.state().attempts.filter((at) => at >= wellAt);
    const most = mostPerSecond(after);
    expect(during / 30).toBeLessThan(2);
    expect(most).toBeLessThanOrEqual(12.5);
    const reads = await Promise.all(sessions.map((session, number) => sample(fleet, fleet.broker(number), session)));
    expect(reads.filter(({ status, live }) => status !== 200 || !live)).toEqual([]);
    report({
      fault: 'vendor out for 30 s with 60 renewals due, budget 10/s, 2 replicas',
      promise: '< 2 attempts/s during it; ≤ budget + 25 % in any second after it; none dead',
      measured: `${(during / 30).toFixed(2)} attempts/s during it; at most ${most} in a second after it; 0 dead`,
    });
  }, 180_000);
});
