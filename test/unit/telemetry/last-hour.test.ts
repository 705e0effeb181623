import { describe, expect, onTestFinished, test } from 'vitest';
import { LastHour, MinuteCounts } from '../../../src/telemetry/last-hour.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import type { Clock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { TestClock } from '../../support/test-clock.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const MINUTE_MS = 60_000;
const zeros = (length: number) => Array.from({ length }, () => 0);

/** The last hour of new metrics, on a clock that begins with a whole minute, and whose timers fire early by `earlyMs`. */
async function startLastHour({ earlyMs = 0 } = {}) {
  const { clock: inner, pass } = virtualClock();
  await pass(MINUTE_MS - (inner.now() % MINUTE_MS));
  let setBackMs = 0;
  const clock: Clock = {
    now: () => inner.now() - setBackMs,
    monotonic: () => inner.monotonic(),
    random: () => inner.random(),
    nextTurn: (callback) => inner.nextTurn(callback),
    setTimer: (callback, ms) => inner.setTimer(callback, Math.max(1, ms - earlyMs)),
  };
  const metrics = createMetrics({ version: '1.2.3', vendorResults: new Map() });
  const lastHour = new LastHour(clock, metrics.totals);
  onTestFinished(() => lastHour.stop());
  const setBack = (ms: number): void => {
    setBackMs += ms;
  };
  return { pass, setBack, observer: metrics.observer, lastHour };
}

describe('the last hour', () => {
  test('has the counts of each minute by outcome, with the current minute last', async () => {
    const { pass, observer, lastHour } = await startLastHour();
    observer.tokenServed('memory', 1_000);
    await pass(MINUTE_MS);
    observer.tokenServed('memory', 1_000);
    observer.tokenServed('memory', 1_000);
    observer.readFailed(new BrokerError('vendor_timeout'));
    await pass(2 * MINUTE_MS);
    observer.tokenServed('redis', 1_000);
    expect((await lastHour.series()).reads).toEqual({
      memory: [...zeros(57), 1, 2, 0, 0],
      vendor_timeout: [...zeros(57), 0, 1, 0, 0],
      redis: [...zeros(57), 0, 0, 0, 1],
    });
  });

  test('adds renewals of all causes, and logins of all codes of the vendor', async () => {
    const { observer, lastHour } = await startLastHour();
    observer.renewalEnded('background', 'login');
    observer.renewalEnded('new', 'login');
    observer.loginEnded('success', 0, 100);
    observer.loginEnded('request', 10_016, 100);
    observer.loginEnded('request', 10_017, 100);
    observer.sessionChecked('session_invalid');
    const { renewals, logins, sessions } = await lastHour.series();
    expect(renewals).toEqual({ login: [...zeros(60), 2] });
    expect(logins).toEqual({ success: [...zeros(60), 1], request: [...zeros(60), 2] });
    expect(sessions).toEqual({ session_invalid: [...zeros(60), 1] });
  });

  test('forgets what is older than 60 whole minutes, and keeps no more samples', async () => {
    const { pass, observer, lastHour } = await startLastHour();
    observer.tokenServed('memory', 1_000);
    await pass(60 * MINUTE_MS);
    expect((await lastHour.series()).reads).toEqual({ memory: [1, ...zeros(60)] });
    await pass(MINUTE_MS);
    expect((await lastHour.series()).reads).toEqual({});
    await pass(300 * MINUTE_MS);
    observer.tokenServed('memory', 1_000);
    expect((await lastHour.series()).reads).toEqual({ memory: [...zeros(60), 1] });
  });

  test('has no event that is older than an hour, also if timers fire a little before their time', async () => {
    const { pass, observer, lastHour } = await startLastHour({ earlyMs: 1 });
    for (let minute = 0; minute < 90; minute += 1) {
      observer.tokenServed('memory', 1_000);
      await pass(MINUTE_MS);
    }
    expect((await lastHour.series()).reads).toEqual({ memory: [...zeros(60).fill(1), 0] });
  });

  test('has no event that is older than an hour, also after the clock was set back', async () => {
    const { pass, setBack, observer, lastHour } = await startLastHour();
    observer.readFailed(new BrokerError('vendor_timeout'));
    await pass(90 * MINUTE_MS);
    setBack(180 * MINUTE_MS);
    observer.tokenServed('memory', 1_000);
    expect((await lastHour.series()).reads).toEqual({ memory: [...zeros(60), 1] });
    await pass(MINUTE_MS);
    observer.tokenServed('redis', 1_000);
    await pass(MINUTE_MS);
    observer.tokenServed('login', 1_000);
    const { reads } = await lastHour.series();
    expect(reads).toMatchObject({ redis: [...zeros(59), 1, 0], login: [...zeros(60), 1] });
    expect(reads).not.toHaveProperty('vendor_timeout');
  });
});

/** Counts on a clock that begins with a whole minute. */
function createCounts() {
  const clock = new TestClock();
  clock.advance(MINUTE_MS - (clock.now() % MINUTE_MS));
  return { clock, counts: new MinuteCounts<'one' | 'two'>(clock) };
}

describe('the counts of the last minutes', () => {
  test('are those of the current minute and of as many before it', () => {
    const { clock, counts } = createCounts();
    for (let minute = 0; minute < 10; minute += 1) {
      counts.add('one');
      clock.advance(MINUTE_MS);
    }
    counts.add('two');
    expect(counts.within(5)).toEqual({ one: 5, two: 1 });
    expect(counts.within(60)).toEqual({ one: 10, two: 1 });
  });

  test('forget what is older than an hour, also after a long silence', () => {
    const { clock, counts } = createCounts();
    counts.add('one');
    clock.advance(60 * MINUTE_MS);
    expect(counts.within(60)).toEqual({ one: 1 });
    clock.advance(MINUTE_MS);
    expect(counts.within(60)).toEqual({});
    counts.add('one');
    clock.advance(7 * 24 * 60 * MINUTE_MS);
    expect(counts.within(60)).toEqual({});
  });

  test('lose nothing when the clock is set back', () => {
    const { clock, counts } = createCounts();
    counts.add('one');
    clock.jump(-10 * MINUTE_MS);
    counts.add('one');
    expect(counts.within(5)).toEqual({ one: 2 });
  });

  test.each([2, 10, 300])('are right again at once after the clock was set back by %i minutes', (minutes) => {
    const { clock, counts } = createCounts();
    counts.add('one');
    clock.jump(-minutes * MINUTE_MS);
    for (let minute = 0; minute < 10; minute += 1) {
      counts.add('two');
      clock.advance(MINUTE_MS);
    }
    expect(counts.within(5)).toEqual({ two: 5 });
    expect(counts.within(60)).toEqual({ one: 1, two: 10 });
  });
});

test('the rate is the mean over the last whole minute and the current one', () => {
  const { clock, counts } = createCounts();
  expect(counts.perSecond('one')).toBe(0);
  for (let event = 0; event < 180; event += 1) counts.add('one');
  clock.advance(MINUTE_MS + 30_000);
  expect(counts.perSecond('one')).toBe(2);
  clock.advance(MINUTE_MS);
  expect(counts.perSecond('one')).toBe(0);
});
