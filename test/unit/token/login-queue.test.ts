import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  EMPTY_PACE,
  LocalLoginQueue,
  loginBudget,
  type Pace,
  type Place,
  type Priority,
  reservePlace,
} from '../../../src/token/login-queue.ts';
import { accountId } from '../../../src/token/subject.ts';

const START = 1_800_000_000_000;
/** VENDOR_MAX_RPS=20. */
const TWENTY: Pace = { intervalMs: 50, burst: 2 };

interface Arrival {
  /** Ms since the arrival before. */
  readonly afterMs: number;
  readonly priority: Priority;
}

interface Answer extends Place {
  readonly at: number;
  readonly priority: Priority;
}

/** A login queue in simulated time. */
class Queue {
  now = START;
  readonly answers: Answer[] = [];
  readonly #pace: Pace;
  #state = EMPTY_PACE;

  constructor(pace: Pace) {
    this.#pace = pace;
  }

  reserve(priority: Priority, afterMs = 0): Place {
    this.now += afterMs;
    const { place, state } = reservePlace(this.#state, this.now, this.#pace, priority);
    this.#state = state;
    this.answers.push({ ...place, at: this.now, priority });
    return place;
  }

  /** The granted times, in the order of the requests. */
  places(priority?: Priority): number[] {
    return this.answers
      .filter((answer) => answer.granted && (priority ?? answer.priority) === answer.priority)
      .map(({ at, waitMs }) => at + waitMs);
  }

  /** Whether a foreground login waits now. */
  hasForegroundLogin(): boolean {
    return this.places('newcomer').some((place) => place > this.now);
  }
}

const gap = fc.oneof(
  { weight: 8, arbitrary: fc.nat(20) },
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.nat(400) },
  { weight: 1, arbitrary: fc.nat(60_000) },
);
const priority = fc.constantFrom<Priority>('newcomer', 'background');
const arrivals = fc.array(fc.record({ afterMs: gap, priority }), { minLength: 1, maxLength: 250 });
const paces = fc.integer({ min: 1, max: 200 }).map((perSecond) => ({
  intervalMs: 1_000 / perSecond,
  burst: Math.max(1, Math.round(perSecond / 10)),
}));

function queueAfter(pace: Pace, each: readonly Arrival[], onAnswer: (queue: Queue, place: Place) => void = () => {}) {
  const queue = new Queue(pace);
  for (const { afterMs, priority } of each) onAnswer(queue, queue.reserve(priority, afterMs));
  return queue;
}

/** The largest number of times within one second, both ends inclusive. */
function mostInASecond(instants: readonly number[]): number {
  return Math.max(0, ...instants.map((first) => instants.filter((at) => at >= first && at <= first + 1_000).length));
}

const perSecond = ({ intervalMs }: Pace) => Math.round(1_000 / intervalMs);

describe('the login pace', () => {
  test('is kept in any one second: at most the rate per second plus the burst', () => {
    fc.assert(
      fc.property(paces, arrivals, (pace, each) => {
        const most = mostInASecond(queueAfter(pace, each).places());
        expect(most).toBeLessThanOrEqual(perSecond(pace) + pace.burst);
      }),
    );
  });

  test('grants at most the burst at once after a pause', () => {
    fc.assert(
      fc.property(paces, arrivals, fc.integer({ min: 3_000, max: 10 ** 9 }), priority, (pace, each, pauseMs, kind) => {
        const queue = queueAfter(pace, each);
        // After this time the queue is empty, and a full burst is available.
        queue.now += pauseMs + pace.burst * pace.intervalMs;
        // Floating-point times are inexact by a fraction of a microsecond.
        const isAtOnce = ({ granted, waitMs }: Place) => granted && waitMs < 0.01;
        const places = Array.from({ length: pace.burst + 1 }, () => queue.reserve(kind));
        expect(places.map(isAtOnce)).toEqual([...Array(pace.burst).fill(true), false]);
      }),
    );
  });

  test.each<Priority>(['newcomer', 'returning', 'background'])(
    'wastes no place: under constant demand of one kind, each interval has one: %s',
    (kind) => {
      const queue = new Queue(TWENTY);
      for (let passedMs = 0; passedMs < 10_000; passedMs += 5) queue.reserve(kind, 5);
      expect(queue.places().filter((at) => at < START + 10_000).length).toBeGreaterThanOrEqual(200);
    },
  );

  test('continues immediately after the clock is set back', () => {
    const hour = 3_600_000;
    fc.assert(
      fc.property(arrivals, priority, fc.integer({ min: 5_000, max: hour }), (each, kind, backMs) => {
        const queue = queueAfter(TWENTY, each);
        queue.now -= backMs;
        expect(queue.reserve(kind)).toEqual({ granted: true, waitMs: 0 });
        expect(queue.reserve(kind)).toEqual({ granted: true, waitMs: 0 });
        expect(queue.reserve(kind)).toEqual({ granted: true, waitMs: 50 });
      }),
    );
  });
});

describe('a foreground login', () => {
  test('never queues longer than 2 s: otherwise it gets a correct time for its next attempt', () => {
    fc.assert(
      fc.property(paces, arrivals, (pace, each) => {
        const queue = queueAfter(pace, each, ({ answers }, place) => {
          if (place.granted && answers.at(-1)?.priority === 'newcomer') expect(place.waitMs).toBeLessThanOrEqual(2_000);
        });
        const { granted, waitMs } = queue.reserve('newcomer');
        if (!granted) {
          expect(waitMs).toBeGreaterThan(0);
          expect(queue.reserve('newcomer', waitMs + 0.001).granted).toBe(true);
        }
      }),
    );
  });

  test('leaves at most half of the places to renewals while it waits', () => {
    const busy = fc.array(fc.record({ afterMs: fc.nat(15), priority }), { minLength: 100, maxLength: 250 });
    fc.assert(
      fc.property(busy, (each) => {
        const queue = new Queue(TWENTY);
        let waitingSince: number | undefined;
        let renewals = 0;
        for (const { afterMs, priority } of each) {
          queue.now += afterMs;
          if (!queue.hasForegroundLogin()) waitingSince = undefined;
          else if (waitingSince === undefined) {
            waitingSince = queue.now;
            renewals = 0;
          }
          const { granted } = queue.reserve(priority);
          if (waitingSince === undefined || !granted || priority === 'newcomer') continue;
          renewals += 1;
          const places = (queue.now - waitingSince) / TWENTY.intervalMs;
          expect(renewals).toBeLessThanOrEqual(1 + places / 2);
        }
      }),
    );
  });
});

describe('a returning account', () => {
  /** Newcomers that come every `everyMs` while returning accounts, and the worker, ask every 5 ms. */
  function crowdedQueue(everyMs: number, forMs: number, withBackground: boolean): Queue {
    const queue = new Queue(TWENTY);
    for (let passedMs = 0; passedMs < forMs; passedMs += 5) {
      queue.reserve('returning', 5);
      if (withBackground) queue.reserve('background');
      if (passedMs % everyMs === 0) queue.reserve('newcomer');
    }
    return queue;
  }
  const waitsOf = (queue: Queue, priority: Priority) =>
    queue.answers.flatMap((answer) => (answer.granted && answer.priority === priority ? [answer.waitMs] : []));

  test('delays a newcomer by 250 ms and a place at most, and by half a second beside due renewals', () => {
    const alone = waitsOf(crowdedQueue(200, 20_000, false), 'newcomer');
    expect(alone).toHaveLength(100);
    expect(Math.max(...alone)).toBeLessThanOrEqual(250 + TWENTY.intervalMs);
    const besideRenewals = waitsOf(crowdedQueue(200, 20_000, true), 'newcomer');
    expect(besideRenewals).toHaveLength(100);
    expect(Math.max(...besideRenewals)).toBeLessThanOrEqual(500 + 2 * TWENTY.intervalMs);
  });

  test('leaves half of the places to newcomers and a fourth to renewals, and gets a fourth itself', () => {
    const queue = crowdedQueue(5, 20_000, true);
    const before = queue.now;
    const share = (priority: Priority) => queue.places(priority).filter((at) => at < before).length / 400;
    expect(share('newcomer')).toBeGreaterThan(0.45);
    expect(share('background')).toBeGreaterThan(0.2);
    expect(share('returning')).toBeGreaterThan(0.2);
  });

  test('leaves half of the places to renewals', () => {
    const queue = new Queue(TWENTY);
    for (let passedMs = 0; passedMs < 10_000; passedMs += 5) {
      queue.reserve('returning', 5);
      queue.reserve('background');
    }
    expect(queue.places('background').length).toBeGreaterThan(95);
  });
});

describe('the queue of one process', () => {
  const pace = { intervalMs: 100, burst: 1 };
  const accountNumber = (number: number) => accountId(`account-${number}`);
  /** Then a returning account finds no place, and a newcomer does. */
  const fill = (queue: LocalLoginQueue, now: number) => {
    for (let number = 0; number < 5; number += 1) queue.reserve(now, pace, 'background', accountNumber(100));
  };

  test('takes an account as returning for ten minutes after its last foreground login, and forgets it then', () => {
    const queue = new LocalLoginQueue();
    queue.reserve(START, pace, 'foreground', accountNumber(0));
    fill(queue, START + 1_000);
    expect(queue.reserve(START + 1_000, pace, 'foreground', accountNumber(0)).granted).toBe(false);
    fill(queue, START + 599_999);
    expect(queue.reserve(START + 599_999, pace, 'foreground', accountNumber(0)).granted).toBe(false);
    fill(queue, START + 600_000);
    expect(queue.reserve(START + 600_000, pace, 'foreground', accountNumber(0)).granted).toBe(true);
  });

  test('forgets an account in time although another one has returned since', () => {
    const queue = new LocalLoginQueue();
    const logIn = (afterMs: number, number: number) =>
      queue.reserve(START + afterMs, pace, 'foreground', accountNumber(number)).granted;
    logIn(0, 0);
    logIn(1_000, 1);
    logIn(500_000, 0);
    fill(queue, START + 601_000);
    expect([logIn(601_000, 0), logIn(601_000, 1)]).toEqual([false, true]);
  });

  test('knows how far ahead its next place is, after its first login', () => {
    const queue = new LocalLoginQueue();
    expect(queue.nextPlaceInMs(START)).toBeUndefined();
    queue.reserve(START, pace, 'foreground', accountNumber(0));
    expect([0, 100, 150].map((afterMs) => queue.nextPlaceInMs(START + afterMs))).toEqual([100, 0, -50]);
  });

  test('has the whole burst at once also by a clock that has just started', () => {
    const queue = new LocalLoginQueue();
    const burst = { intervalMs: 100, burst: 3 };
    const waits = [0, 1, 2, 3].map((number) => queue.reserve(5, burst, 'foreground', accountNumber(number)).waitMs);
    expect(waits).toEqual([0, 0, 0, 100]);
  });

  test('lets ten accounts that log in at once delay a newcomer by a second, once', () => {
    const queue = new LocalLoginQueue();
    for (let number = 0; number < 10; number += 1) queue.reserve(START, pace, 'foreground', accountNumber(number));
    expect(queue.reserve(START, pace, 'foreground', accountNumber(10)).waitMs).toBe(1_000);
    for (let number = 0; number < 10; number += 1)
      queue.reserve(START + 2_000, pace, 'foreground', accountNumber(number));
    expect(queue.reserve(START + 2_000, pace, 'foreground', accountNumber(11)).waitMs).toBeLessThanOrEqual(300);
  });
});

describe('a renewal', () => {
  test('queues at most 500 ms if no foreground login waits', () => {
    fc.assert(
      fc.property(paces, fc.array(gap, { minLength: 1, maxLength: 250 }), (pace, gaps) => {
        const each = gaps.map((afterMs) => ({ afterMs, priority: 'background' as const }));
        const { answers } = queueAfter(pace, each);
        for (const { granted, waitMs } of answers) if (granted) expect(waitMs).toBeLessThanOrEqual(500);
      }),
    );
  });

  test('gets half of the places under constant foreground demand, whatever ran before', () => {
    const queue = new Queue(TWENTY);
    for (let passedMs = 0; passedMs < 60_000; passedMs += 5) queue.reserve('background', 5);
    const before = queue.places('background').length;
    for (let passedMs = 0; passedMs < 10_000; passedMs += 5) {
      queue.reserve('background', 5);
      queue.reserve('newcomer');
    }
    const renewals = queue.places('background').length - before;
    expect(renewals).toBeGreaterThanOrEqual(90);
    expect(renewals).toBeLessThanOrEqual(101);
  });

  test.each([
    ['newcomers', ['newcomer']],
    ['newcomers and returning accounts', ['newcomer', 'returning']],
  ] as const)('gets its share although %s take each place as it becomes free', (_, demand) => {
    const queue = new Queue(TWENTY);
    let asksAt = START + 3_000;
    for (let passedMs = 0; passedMs < 13_000; passedMs += 1) {
      queue.now += 1;
      for (const priority of demand) queue.reserve(priority);
      // The last one to ask, and only when the queue has told it to.
      if (queue.now < asksAt) continue;
      const { granted, waitMs } = queue.reserve('background');
      asksAt = queue.now + (granted ? 1 : waitMs);
    }
    const share = queue.places('background').length / 200;
    expect(share).toBeGreaterThan(0.9 / (2 * demand.length));
    expect(share).toBeLessThan(0.55);
    const waits = queue.answers.filter(({ granted, priority }) => granted && priority !== 'newcomer');
    expect(Math.max(...waits.map(({ waitMs }) => waitMs))).toBeLessThanOrEqual(2_000 + TWENTY.intervalMs);
  });

  test('that is refused takes no place in the queue', () => {
    const queue = new Queue({ intervalMs: 1_000, burst: 1 });
    queue.reserve('background');
    for (let time = 0; time < 100; time += 1) expect(queue.reserve('background').granted).toBe(false);
    expect(queue.reserve('newcomer')).toEqual({ granted: true, waitMs: 1_000 });
  });
});

describe('the longest time of a login', () => {
  test.each([
    { timeoutMs: 1_000, budgetMs: 4_000 },
    { timeoutMs: 4_000, budgetMs: 10_000 },
    { timeoutMs: 10_000, budgetMs: 22_000 },
  ])('is $budgetMs ms if one attempt may take $timeoutMs ms', ({ timeoutMs, budgetMs }) => {
    expect(loginBudget(timeoutMs)).toBe(budgetMs);
  });
});

describe('a place in the login queue', () => {
  const pace = { intervalMs: 100, burst: 1 };
  const at = (next: number, extra = {}) => ({ ...EMPTY_PACE, next: START + next, ...extra });
  const waiting = { foregroundUntil: START + 1 };

  test.each<[string, Priority, number, object]>([
    ['a foreground login for exactly 2 s', 'newcomer', 2_000, {}],
    ['a background login for exactly 500 ms', 'background', 500, {}],
    ['a background login for 500 ms once no foreground login waits', 'background', 500, { foregroundUntil: START }],
    ['a background login for 2 s and an interval while a foreground login waits', 'background', 2_100, waiting],
  ])('is granted to %s, and refused after that', (_, kind, longestMs, extra) => {
    const placeAt = (next: number) => reservePlace(at(next, extra), START, pace, kind).place;
    expect(placeAt(longestMs)).toEqual({ granted: true, waitMs: longestMs });
    expect(placeAt(longestMs + 1)).toEqual({ granted: false, waitMs: 1 });
  });

  test('is refused to a background login until two intervals after the last one, while a foreground login waits', () => {
    const first = reservePlace(at(0, { foregroundUntil: START + 1_000 }), START, pace, 'background').state;
    expect(first.nextYielding).toBe(START + 200);
    expect(reservePlace(first, START + 199, pace, 'background').place).toEqual({ granted: false, waitMs: 1 });
    expect(reservePlace(first, START + 200, pace, 'background').place.granted).toBe(true);
  });

  test('is looked for in the stored state up to the longest wait and two intervals ahead', () => {
    expect(reservePlace(at(2_200), START, pace, 'newcomer').place.granted).toBe(false);
    expect(reservePlace(at(2_201), START, pace, 'newcomer').place).toEqual({ granted: true, waitMs: 0 });
  });

  test('of a foreground login that does not wait leaves the places of the background alone', () => {
    const state = at(-1_000, { foregroundUntil: START - 5, nextYielding: START - 7 });
    const after = reservePlace(state, START, pace, 'newcomer').state;
    expect(after).toEqual({ ...EMPTY_PACE, next: START + 100, foregroundUntil: START - 5, nextYielding: START - 7 });
    expect(reservePlace(after, START, pace, 'newcomer').state).toEqual({
      newcomersUntil: START + 100,
      nextReturning: 0,
      next: START + 200,
      foregroundUntil: START + 100,
      nextYielding: START - 7,
    });
  });
});
