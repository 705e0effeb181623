import { expect, test } from 'vitest';
import { replicaFindings } from '../../../src/telemetry/findings.ts';
import { countingObserver, countsByMinute, recentCounts } from '../../../src/telemetry/last-hour.ts';
import type { FindingCode } from '../../../src/token/findings.ts';
import { accountId } from '../../../src/token/subject.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { TestClock } from '../../support/test-clock.ts';

const BUSY_SECONDS = 600;
const FAULT_SECONDS = 3_600;

/** Numbers that look random, the same ones each time. */
function randomNumbers(): () => number {
  let state = 7;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** Ten minutes without a failure, an hour in which a share of the logins fails, and a repair. The replica looks every 5 s. */
function play(perSecond: number, share: number) {
  const clock = new TestClock();
  const counts = countsByMinute(clock);
  const observer = countingObserver(silentObserver, counts);
  const random = randomNumbers();
  const changesAt: number[] = [];
  let before: ReadonlySet<FindingCode> = new Set();
  for (let second = -BUSY_SECONDS; second < FAULT_SECONDS + 600; second += 1) {
    const failing = second >= 0 && second < FAULT_SECONDS ? share : 0;
    for (let login = 0; login < perSecond; login += 1) {
      const outcome = random() < failing ? 'timeout' : 'success';
      observer.loginEnded(outcome, undefined, 1, 0, accountId(`account-${login}`));
    }
    clock.advance(1_000);
    if (second % 5 !== 0) continue;
    const facts = { now: clock.now(), monotonic: clock.monotonic(), ...recentCounts(counts) };
    const rest = { redis: undefined, vendorDomains: [], sessionServer: undefined, clockOffsetMs: undefined };
    const found = new Set(replicaFindings({ ...facts, ...rest }, before).map(({ code }) => code));
    if (found.size !== before.size) changesAt.push(second);
    before = found;
  }
  return changesAt;
}

test.each([
  [10, 1, 10],
  [10, 0.6, 15],
  [10, 0.3, 20],
  [2, 0.6, 20],
  [1, 1, 20],
  [10, 0.12, 330],
  [2, 0.1, 1_000],
])('with %i logins a second and a share of %d that fails, the verdict turns within %i s, and once', (...row) => {
  const [perSecond, share, within] = row;
  const [begun = Number.POSITIVE_INFINITY, over = Number.POSITIVE_INFINITY, ...others] = play(perSecond, share);
  expect(begun).toBeLessThanOrEqual(within);
  expect(over).toBeGreaterThanOrEqual(FAULT_SECONDS);
  expect(over).toBeLessThanOrEqual(FAULT_SECONDS + (share >= 0.3 ? 40 : 360));
  expect(others).toEqual([]);
});

test.each([2, 10, 50])('with %i logins a second, half of the share that is a finding is none', (perSecond) => {
  expect(play(perSecond, 0.05)).toEqual([]);
});
