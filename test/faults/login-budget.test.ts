import { describe, expect, test } from 'vitest';
import { Keys } from '../../src/store/redis/keys.ts';
import { startBroker } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { monitorRedis } from '../support/redis-monitor.ts';
import { mostWithin } from '../support/statistics.ts';
import { answeredWithin, failedReads, repeatedly, reportFault, timedRead } from './fault-report.ts';

/** src/vendor-api/login.ts: Redis gives a turn too late. */
const OWN_SHARE = 'the shared login queue is unavailable';
/** A timer of Node.js may end a millisecond early, and the vendor rounds down. */
const CLOCK_STEP_MS = 3;
const DUE_AT_HALF = { REFRESH_AT: '0.5-0.5', VENDOR_TIMEOUT_MS: '2000' };

/** Starts replicas with a login budget, and gets tokens that are due together, through a replica without a budget. */
async function fleetOf(accounts: number, maxRps: number, lifetimeSeconds: number, replicas: number, env = {}) {
  const fleet = await startFleet({
    replicas,
    vendor: { tokenLifetimeSeconds: lifetimeSeconds },
    // At this level, a replica logs each turn that it takes from its own share of the budget.
    env: { ...DUE_AT_HALF, VENDOR_MAX_RPS: String(maxRps), LOG_LEVEL: 'debug', ...env },
  });
  const sharedTurns = await watchTurns(fleet, maxRps);
  const sessions = await Promise.all(
    Array.from({ length: accounts }, (_, number) => fleet.session(`account-${number}`)),
  );
  const unlimited = await startBroker({ ...fleet.env, VENDOR_MAX_RPS: '0' });
  const obtained = await Promise.all(sessions.map((session) => timedRead(fleet, unlimited, session)));
  expect(obtained.filter(({ status }) => status !== 200)).toEqual([]);
  await unlimited.stop();
  return { fleet, sessions, loadedAt: Date.now(), sharedTurns };
}

/** The turns that Redis gives to logins from now on, as its monitor shows them, in epoch ms. */
async function watchTurns({ env, keyPrefix }: Fleet, maxRps: number): Promise<readonly number[]> {
  const queue = new Keys(keyPrefix).loginQueue;
  const turns: number[] = [];
  await monitorRedis(env['REDIS_URL'] ?? '', ({ at, words: [command, key, , next] }) => {
    // The script stores the place after the one that it has given. A place in the past is a turn at once.
    if (command === 'HSET' && key === queue) turns.push(Math.max(Number(next) - 1_000 / maxRps, 1_000 * at));
  });
  return turns;
}

/**
 * Expects that each login came after its turn, that Redis gave at most a quarter more turns than the budget in any
 * second, and that the vendor got at most a quarter more logins in any five seconds. On a busy machine, logins come late
 * after their turns, so that the vendor may get more of them in a single second.
 * @param attempts all since the first turn, epoch ms
 * @returns the most turns of Redis in a second
 */
async function expectTurns(
  attempts: readonly number[],
  sharedTurns: readonly number[],
  { brokers }: Fleet,
  maxRps: number,
) {
  const inOrder = attempts.toSorted((a, b) => a - b);
  await eventually(() => {
    const own = brokers.flatMap((broker) => broker.log()).filter((line) => line.includes(OWN_SHARE));
    const ownTurns = own.map((line) => Date.parse(JSON.parse(line).time));
    const turns = [...sharedTurns, ...ownTurns].sort((a, b) => a - b);
    expect(inOrder.filter((at, number) => at < (turns[number] ?? Infinity) - CLOCK_STEP_MS)).toEqual([]);
  });
  expect(mostWithin(5, attempts)).toBeLessThanOrEqual(5 * 1.25 * maxRps);
  const most = mostWithin(1, sharedTurns);
  expect(most).toBeLessThanOrEqual(1.25 * maxRps);
  return most;
}

describe('the login budget', () => {
  test('spreads 80 renewals that are due together: every read gets a valid token, and logins of waiting apps go first', async () => {
    const { fleet, sessions, loadedAt, sharedTurns } = await fleetOf(80, 20, 40, 3);
    await eventually(() => expect(fleet.vendor.state().succeeded).toBeGreaterThan(80));
    const newTerminals = await repeatedly(3_000, 200, async (round) =>
      timedRead(fleet, fleet.broker(round), await fleet.session(`new-${round}`)),
    );
    await eventually(() => expect(fleet.vendor.state().succeeded).toBe(160 + newTerminals.length), {
      timeoutMs: 20_000,
    });
    const reads = await Promise.all(sessions.map((session, number) => timedRead(fleet, fleet.broker(number), session)));
    expect(failedReads(reads)).toEqual([]);
    expect(newTerminals.filter(({ status }) => status !== 200)).toEqual([]);
    const p95 = answeredWithin(newTerminals, 0.95);
    expect(p95).toBeLessThan(2_000);
    const attempts = fleet.vendor.state().attempts.filter((at) => at > loadedAt);
    const most = await expectTurns(attempts, sharedTurns, fleet, 20);
    reportFault({
      promise: '20 logins/s, 3 replicas: ≤ 25 logins in any second; p95 of new terminals < 2 s',
      fault: '80 tokens due together, a new terminal every 200 ms',
      measured: `${most} logins; ${p95.toFixed(0)} ms`,
    });
  }, 120_000);

  test.each([
    { maxRps: 10, newcomers: 50, tokens: 40 },
    { maxRps: 50, newcomers: 100, tokens: 200 },
  ])(
    'of $maxRps/s renews $tokens tokens in time, although $newcomers newcomers a second want it',
    async (load) => {
      const lifeMs = 60_000;
      const { fleet, loadedAt, sharedTurns } = await fleetOf(load.tokens, load.maxRps, lifeMs / 1_000, 2, {
        REFRESH_AT: '0.6-0.8',
      });
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
      const attempts = fleet.vendor.state().attempts.filter((at) => at > loadedAt);
      expect(renewed).toBe(load.tokens);
      const most = await expectTurns(attempts, sharedTurns, fleet, load.maxRps);
      reportFault({
        promise: 'Tokens of 60 s, 2 replicas: renewed in time; ≤ budget + 25 % in any second',
        fault: `${load.newcomers} new terminals a second, budget ${load.maxRps} logins/s`,
        measured: `${renewed} renewed; ${served} new terminals; ${most} logins`,
      });
    },
    120_000,
  );

  test('sends few logins during a vendor outage of 30 s with 60 due renewals, then catches up within the budget', async () => {
    const { fleet, sessions, loadedAt, sharedTurns } = await fleetOf(60, 10, 100, 2);
    fleet.vendor.configure({ fault: 'http-500' });
    await eventually(() => expect(fleet.vendor.state().requests).toBeGreaterThan(60), { timeoutMs: 60_000 });
    const before = fleet.vendor.state();
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    const during = fleet.vendor.state().requests - before.requests;
    fleet.vendor.configure({ fault: 'none' });
    await eventually(() => expect(fleet.vendor.state().succeeded).toBeGreaterThanOrEqual(120));
    const attempts = fleet.vendor.state().attempts.filter((at) => at > loadedAt);
    expect(during / 30).toBeLessThan(2);
    const most = await expectTurns(attempts, sharedTurns, fleet, 10);
    const reads = await Promise.all(sessions.map((session, number) => timedRead(fleet, fleet.broker(number), session)));
    expect(failedReads(reads)).toEqual([]);
    reportFault({
      promise: '10 logins/s, 2 replicas: < 2 attempts/s, then ≤ budget + 25 %',
      fault: 'vendor down for 30 s with 60 due renewals',
      measured: `${(during / 30).toFixed(2)} attempts/s; ${most} logins`,
    });
  }, 180_000);
});
