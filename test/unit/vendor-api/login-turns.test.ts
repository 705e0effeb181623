import { describe, expect, it, vi } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { type Clock, sleep, systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Pace, Place, Urgency } from '../../../src/token/login-queue.ts';
import { accountId } from '../../../src/token/subject.ts';
import { loginTurns } from '../../../src/vendor-api/login.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { TestClock } from '../../support/test-clock.ts';
import { virtualClock } from '../../support/virtual-clock.ts';
import { clockWithoutTimers, refusalOf } from './running-vendor-login.ts';

const ACCOUNT = accountId('account');
const NEVER = Number.POSITIVE_INFINITY;
const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

const OPTIONS = {
  maxPerSecond: 20,
  clock: systemClock,
  log: QUIET,
  observer: silentObserver,
  openOwnQueue: async () => ownQueueBy(systemClock),
};

function ownQueueBy(clock: Clock) {
  return createMemoryStore({ clock, terminalsPerAccount: 1 }).loginQueue;
}

/** Turns of a queue that answers with `place()` and records its requests. */
function turnsBy(place: () => Place, maxPerSecond = 20, clock: Clock = systemClock) {
  const asked: { pace: Pace; urgency: Urgency }[] = [];
  const queue = {
    reserve: async (pace: Pace, urgency: Urgency) => {
      asked.push({ pace, urgency });
      return place();
    },
  };
  return {
    waitForTurn: loginTurns({ ...OPTIONS, queue, maxPerSecond, clock, openOwnQueue: async () => ownQueueBy(clock) }),
    asked,
  };
}

const AT_ONCE: Place = { granted: true, waitMs: 0 };

describe('a turn', () => {
  it.each([
    [1, 1_000, 1],
    [10, 100, 1],
    [20, 50, 2],
    [100, 10, 10],
  ])(
    'is reserved at a pace of %i per second over all replicas: every %i ms, %i at once',
    async (perSecond, intervalMs, burst) => {
      const { waitForTurn, asked } = turnsBy(() => AT_ONCE, perSecond);
      await waitForTurn(ACCOUNT, 'foreground', NEVER);
      await waitForTurn(ACCOUNT, 'background', NEVER);
      const pace = { intervalMs, burst };
      expect(asked).toEqual([
        { pace, urgency: 'foreground' },
        { pace, urgency: 'background' },
      ]);
    },
  );

  it('is free without a limit, and the queue is not used', async () => {
    const { waitForTurn, asked } = turnsBy(() => ({ granted: false, waitMs: 1 }), 0);
    await Promise.all(Array.from({ length: 100 }, () => waitForTurn(ACCOUNT, 'background', NEVER)));
    expect(asked).toEqual([]);
  });

  it('that has come needs no timer, which a busy process would run late', async () => {
    const { waitForTurn } = turnsBy(() => AT_ONCE, 20, clockWithoutTimers);
    await waitForTurn(ACCOUNT, 'background', NEVER);
  });

  it.each([
    [1, 1],
    [1_000, 1],
    [1_001, 2],
    [60_000, 60],
  ])('that is denied for %i ms is vendor_busy with Retry-After %i s', async (waitMs, retryAfter) => {
    const { waitForTurn } = turnsBy(() => ({ granted: false, waitMs }));
    expect(await refusalOf(waitForTurn(ACCOUNT, 'foreground', NEVER))).toMatchObject({
      code: 'vendor_busy',
      retryAfter,
      waitMs,
    });
  });

  it.each([
    [1, 1],
    [5, 1],
    [3_600_000, 3_600],
  ])(
    'that comes in %i ms starts then, also at the last moment; 1 ms later it is vendor_busy at once',
    async (...row) => {
      const [waitMs, retryAfter] = row;
      const { clock, pass } = virtualClock();
      const { waitForTurn } = turnsBy(() => ({ granted: true, waitMs }), 20, clock);
      const late = waitForTurn(ACCOUNT, 'foreground', clock.monotonic() + waitMs - 1);
      expect(await refusalOf(late)).toMatchObject({ code: 'vendor_busy', retryAfter });
      const turn = vi.fn();
      void waitForTurn(ACCOUNT, 'foreground', clock.monotonic() + waitMs).then(turn);
      await pass(waitMs - 1);
      expect(turn).not.toHaveBeenCalled();
      await pass(1);
      expect(turn).toHaveBeenCalled();
    },
  );
});

it.each([
  ['foreground', 'is delayed by 100 ms', 100],
  ['background', 'waits for its answer', 400],
] as const)('a login in the %s %s if the shared queue is slow', async (urgency, _, expectedMs) => {
  const { clock, pass } = virtualClock();
  const reserve = () => sleep(clock, 400).then(() => AT_ONCE);
  const turn = vi.fn();
  void loginTurns({ ...OPTIONS, clock, queue: { reserve } })(ACCOUNT, urgency, NEVER).then(turn);
  await pass(expectedMs - 1);
  expect(turn).not.toHaveBeenCalled();
  await pass(1);
  expect(turn).toHaveBeenCalled();
});

describe('while the store is unavailable', () => {
  const away = () => {
    throw new BrokerError('store_unavailable');
  };

  /** Asks for a turn every `everyMs` for `forMs`. @returns the number of granted turns */
  async function granted(urgency: Urgency, perSecond: number, forMs: number, everyMs: number): Promise<number> {
    const clock = new TestClock();
    const { waitForTurn } = turnsBy(away, perSecond, clock);
    const all: Promise<boolean>[] = [];
    for (let passedMs = 0; passedMs < forMs; passedMs += everyMs) {
      const turn = waitForTurn(accountId(`account-${passedMs}`), urgency, NEVER);
      all.push(turn.then(() => true).catch((error: BrokerError) => error.code !== 'vendor_busy'));
      // The place is reserved before the clock advances.
      await new Promise(setImmediate);
      clock.advance(everyMs);
    }
    return (await Promise.all(all)).filter(Boolean).length;
  }

  it('a replica uses a quarter of the login budget', async () => {
    // One turn every 200 ms, plus the turns that are still queued at the end: for 2 s, or 0.5 s in the background.
    expect(await granted('foreground', 20, 10_000, 10)).toBe(1 + Math.floor((9_990 + 2_000) / 200));
    expect(await granted('background', 20, 10_000, 10)).toBe(1 + Math.floor((9_990 + 500) / 200));
  });

  const err = new BrokerError('store_unavailable');
  const ownShare = expect.stringContaining('shared login queue is unavailable');
  it.each([
    ['answers', async () => AT_ONCE, []],
    ['fails', () => Promise.reject(err), [[{ err }, ownShare]]],
    ['does not answer in time', () => new Promise<Place>(() => undefined), [[{ afterMs: 100 }, ownShare]]],
  ])('the log says so for each turn, and of no other: the queue %s', async (_, reserve, expected) => {
    const lines: unknown[][] = [];
    const log = { ...QUIET, debug: (...line: unknown[]) => lines.push(line) };
    await loginTurns({ ...OPTIONS, queue: { reserve }, log })(ACCOUNT, 'foreground', NEVER);
    expect(lines).toEqual(expected);
  });

  it('its burst is a quarter too, so that four replicas together keep the budget', async () => {
    const clock = new TestClock();
    const { waitForTurn } = turnsBy(away, 40, clock);
    const all = await Promise.allSettled(
      Array.from({ length: 100 }, () => waitForTurn(ACCOUNT, 'background', clock.monotonic())),
    );
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('and the next turn after that comes from the queue again', async () => {
    let isAway = true;
    const { waitForTurn, asked } = turnsBy(() => (isAway ? away() : AT_ONCE), 4);
    await waitForTurn(ACCOUNT, 'foreground', NEVER);
    expect(await refusalOf(waitForTurn(ACCOUNT, 'foreground', systemClock.monotonic()))).toMatchObject({
      code: 'vendor_busy',
    });
    isAway = false;
    await waitForTurn(ACCOUNT, 'foreground', systemClock.monotonic() + 60_000);
    expect(asked).toHaveLength(3);
  });
});
