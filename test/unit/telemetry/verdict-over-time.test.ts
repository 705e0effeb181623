import { describe, expect, test } from 'vitest';
import type { StandingShares } from '../../../src/telemetry/finding-facts.ts';
import { replicaFindings } from '../../../src/telemetry/findings.ts';
import { countingObserver, countsByMinute, recentCounts } from '../../../src/telemetry/last-hour.ts';
import { accountId } from '../../../src/token/subject.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { TestClock } from '../../support/test-clock.ts';
import { factsAt } from './facts.ts';

const BUSY_SECONDS = 600;
const FAULT_SECONDS = 3_600;
const MINUTE_SECONDS = 60;

interface Events {
  readonly perSecond: number;
  /** The share of them that fails in this second of the fault. */
  readonly failing: (second: number) => number;
  /** The share that fails before and after the fault. */
  readonly usual?: number;
}

/**
 * Ten minutes, an hour with a fault, and half an hour after it. The replica looks every 5 s.
 * @returns the seconds of the fault at which the verdict changed
 */
function play(kind: 'logins' | 'sessions', { perSecond, failing, usual = 0 }: Events): number[] {
  const clock = new TestClock();
  const counts = countsByMinute(clock);
  const observer = countingObserver(silentObserver, counts);
  const random = seededRandom(7);
  const changesAt: number[] = [];
  const standing: StandingShares = new Map();
  let before = 0;
  for (let second = -BUSY_SECONDS; second < 1.5 * FAULT_SECONDS; second += 1) {
    const share = second >= 0 && second < FAULT_SECONDS ? failing(second) : usual;
    for (let event = 0; event < perSecond; event += 1) {
      const fails = random() < share;
      if (kind === 'sessions') observer.sessionChecked(fails ? 'session_expired' : 'accepted');
      else observer.loginEnded(fails ? 'timeout' : 'success', undefined, 1, 0, accountId(`account-${event}`));
    }
    clock.advance(1_000);
    if (second % 5 !== 0) continue;
    const facts = { ...factsAt(clock), ...recentCounts(counts), vendorDomains: [] };
    const found = replicaFindings(facts, standing).length;
    if (found !== before) changesAt.push(second);
    before = found;
  }
  return changesAt;
}

test.each([
  [10, 1, 20],
  [10, 0.6, 35],
  [10, 0.3, 70],
  [2, 0.6, 40],
  [1, 1, 20],
  [1, 0.3, 100],
  [2, 0.3, 100],
  [10, 0.12, 330],
  [2, 0.1, 1_200],
])('with %i logins a second and a share of %d that fails, the verdict turns within %i s, and once', (...row) => {
  const [perSecond, share, within] = row;
  const changes = play('logins', { perSecond, failing: () => share });
  const [begun = Number.POSITIVE_INFINITY, over = Number.POSITIVE_INFINITY, ...others] = changes;
  expect(begun).toBeLessThanOrEqual(within);
  expect(over).toBeGreaterThanOrEqual(FAULT_SECONDS);
  expect(over).toBeLessThanOrEqual(FAULT_SECONDS + (share >= 0.3 ? 2 : 6) * MINUTE_SECONDS);
  expect(others).toEqual([]);
});

test.each([
  [10, 20],
  [10, 10],
  [3, 20],
])(
  'a quota of the vendor, which refuses logins at the end of each minute, is one finding: %i a second, for %i s',
  (perSecond, seconds) => {
    const failing = (second: number) => (second % MINUTE_SECONDS >= MINUTE_SECONDS - seconds ? 1 : 0);
    const [begun, over, ...others] = play('logins', { perSecond, failing });
    expect(begun).toBeLessThanOrEqual(5 * MINUTE_SECONDS);
    expect(over).toBeGreaterThanOrEqual(FAULT_SECONDS);
    expect(others).toEqual([]);
  },
);

test.each([2, 10])('with %i logins a second, half of the share that is a finding is none', (perSecond) => {
  expect(play('logins', { perSecond, failing: () => 0.05 })).toEqual([]);
});

describe('refused sessions', () => {
  test.each([0, 0.2, 0.35])('are found within 60 s if all are refused, and no longer if %d are again', (usual) => {
    const [begun, over, ...others] = play('sessions', { perSecond: 10, failing: () => 1, usual });
    expect(begun).toBeGreaterThanOrEqual(0);
    expect(begun).toBeLessThanOrEqual(60);
    expect(over).toBeGreaterThanOrEqual(FAULT_SECONDS);
    expect(over).toBeLessThanOrEqual(FAULT_SECONDS + 6 * MINUTE_SECONDS);
    expect(others).toEqual([]);
  });

  test.each([
    ['40 %', () => 0.4, 120],
    ['a share that grows to 68 % in 5.5 minutes', (second: number) => Math.min(0.68, (0.68 * second) / 330), 180],
    ['13 points more than usual', () => 0.15, 360],
  ])('are found although most are accepted, and are not usual after an hour: %s', (_, failing, within) => {
    const [begun, over, ...others] = play('sessions', { perSecond: 10, failing, usual: 0.02 });
    expect(begun).toBeLessThanOrEqual(within);
    expect(over).toBeGreaterThanOrEqual(FAULT_SECONDS);
    expect(over).toBeLessThanOrEqual(FAULT_SECONDS + 6 * MINUTE_SECONDS);
    expect(others).toEqual([]);
  });

  test.each([1, 2, 20])('are no finding if 35 %% are usual, of %i sessions a second', (perSecond) => {
    expect(play('sessions', { perSecond, failing: () => 0.35, usual: 0.35 })).toEqual([]);
  });

  test('of one client, for half a minute, are no finding', () => {
    const failing = (second: number) => (second < 30 ? 0.8 : 0);
    expect(play('sessions', { perSecond: 5, failing })).toEqual([]);
  });
});
