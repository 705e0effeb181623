import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryRedis } from '../../../src/store/memory/memory-redis.ts';
import { loginBudget, type Pace, type Place, returningMs } from '../../../src/token/login-queue.ts';

const START = 1_800_000_000_000;
/** VENDOR_MAX_RPS=20. */
const TWENTY: Pace = { intervalMs: 50, burst: 2 };
/** A script in JavaScript is slow. */
const FEW = { numRuns: 25 };

/** `newcomer`: a foreground login of an account without a recent one. `returning`: any other foreground login. */
type Priority = 'newcomer' | 'returning' | 'background';

interface Arrival {
  /** Ms since the arrival before. */
  readonly afterMs: number;
  readonly priority: Priority;
}

interface Answer extends Place {
  readonly at: number;
  readonly priority: Priority;
}

/** Ms by the clock of the queue. */
type State = Readonly<Record<'next' | 'newcomersUntil' | 'foregroundUntil' | 'nextYielding' | 'nextReturning', number>>;

const EMPTY: State = { next: 0, newcomersUntil: 0, foregroundUntil: 0, nextYielding: 0, nextReturning: 0 };
const QUEUE = 'queue';

/** A login queue in simulated time: the script, on a Redis in memory. */
class Queue {
  now = START;
  /** The Redis of the queue does not expire anything if its wall clock is set. */
  passed = 0;
  readonly answers: Answer[] = [];
  readonly #pace: Pace;
  readonly #redis = new MemoryRedis({ now: () => this.now, monotonic: () => this.passed });
  #accounts = 0;

  constructor(pace: Pace) {
    this.#pace = pace;
    this.#redis.run('set', 'returning', '1');
  }

  pass(ms: number): void {
    this.now += ms;
    this.passed += ms;
  }

  reserve(priority: Priority, afterMs = 0): Place {
    this.pass(afterMs);
    this.#accounts += 1;
    const place = this.reserveFor(priority === 'returning' ? priority : `newcomer ${this.#accounts}`, priority);
    this.answers.push({ ...place, at: this.now, priority });
    return place;
  }

  /** Reserves a place for an account whose former logins decide about its priority. */
  reserveFor(account: string, priority: Priority): Place {
    const urgency = priority === 'background' ? priority : 'foreground';
    const args = [this.#pace.intervalMs, this.#pace.burst, urgency, returningMs(this.#pace), ''];
    const [granted, waitMs = 0] = this.#redis.runScript('reserve', [QUEUE, account], args) as number[];
    return { granted: granted === 1, waitMs };
  }

  get state(): State {
    const names = Object.keys(EMPTY) as (keyof State)[];
    const stored = this.#redis.run('hmget', QUEUE, ...names) as (Buffer | null)[];
    return Object.fromEntries(names.map((name, at) => [name, Number(stored[at])])) as State;
  }

  set state(state: State) {
    this.#redis.run('hset', QUEUE, ...Object.entries(state).flat());
  }

  /** The granted times, in the order of the requests. */
  places(priority?: Priority): number[] {
    return this.answers
      .filter((answer) => answer.granted && (priority ?? answer.priority) === answer.priority)
      .map(({ at, waitMs }) => at + waitMs);
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

/** The largest number of times within one second. A time may be up to 1 ms late, because waits are whole ms. */
function mostInASecond(instants: readonly number[]): number {
  return Math.max(0, ...instants.map((first) => instants.filter((at) => at >= first && at < first + 1_000).length));
}

const perSecond = ({ intervalMs }: Pace) => Math.round(1_000 / intervalMs);

describe('the login pace', () => {
  test('is kept in any one second: at most the rate per second plus the burst', () => {
    fc.assert(
      fc.property(paces, arrivals, (pace, each) => {
        const most = mostInASecond(queueAfter(pace, each).places());
        expect(most).toBeLessThanOrEqual(perSecond(pace) + pace.burst);
      }),
      FEW,
    );
  });

  test('grants at most the burst at once after a pause', () => {
    fc.assert(
      fc.property(paces, arrivals, fc.integer({ min: 3_000, max: 10 ** 9 }), priority, (pace, each, pauseMs, kind) => {
        const queue = queueAfter(pace, each);
        // After this time the queue is empty, and a full burst is available.
        queue.pass(Math.ceil(pauseMs + pace.burst * pace.intervalMs));
        // Stored times have three decimals.
        const isAtOnce = ({ granted, waitMs }: Place) => granted && waitMs <= 1;
        const places = Array.from({ length: pace.burst + 1 }, () => queue.reserve(kind));
        expect(places.map(isAtOnce)).toEqual([...Array(pace.burst).fill(true), false]);
      }),
      FEW,
    );
  });

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
      FEW,
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
    const alone = waitsOf(crowdedQueue(200, 8_000, false), 'newcomer');
    expect(alone).toHaveLength(40);
    expect(Math.max(...alone)).toBeLessThanOrEqual(250 + TWENTY.intervalMs);
    const besideRenewals = waitsOf(crowdedQueue(200, 8_000, true), 'newcomer');
    expect(besideRenewals).toHaveLength(40);
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
});

describe('an account', () => {
  const pace = { intervalMs: 100, burst: 1 };
  /** Then a returning account finds no place, and a newcomer does. */
  const fillAt = (queue: Queue, afterMs: number) => {
    queue.pass(START + afterMs - queue.now);
    for (let number = 0; number < 5; number += 1) queue.reserve('background');
  };

  test('is returning for ten minutes after its last foreground login', () => {
    const queue = new Queue(pace);
    queue.reserveFor('one', 'newcomer');
    for (const [afterMs, granted] of [
      [1_000, false],
      [599_999, false],
      [600_000, true],
    ] as const) {
      fillAt(queue, afterMs);
      expect(queue.reserveFor('one', 'newcomer').granted).toBe(granted);
    }
  });

  test('is one of ten that log in at once and delay a newcomer by a second, once', () => {
    const queue = new Queue(pace);
    const logInTen = () => {
      for (let number = 0; number < 10; number += 1) queue.reserveFor(`account ${number}`, 'newcomer');
    };
    logInTen();
    expect(queue.reserve('newcomer').waitMs).toBe(1_000);
    queue.pass(2_000);
    logInTen();
    expect(queue.reserve('newcomer').waitMs).toBeLessThanOrEqual(300);
  });
});

describe('a renewal', () => {
  test.each([
    ['newcomers', ['newcomer']],
    ['newcomers and returning accounts', ['newcomer', 'returning']],
  ] as const)('gets its share although %s take each place as it becomes free', (_, demand) => {
    const queue = new Queue(TWENTY);
    let asksAt = START + 3_000;
    for (let passedMs = 0; passedMs < 13_000; passedMs += 5) {
      queue.pass(5);
      for (const priority of demand) queue.reserve(priority);
      // The last one to ask, and only when the queue has told it to.
      if (queue.now < asksAt) continue;
      const { granted, waitMs } = queue.reserve('background');
      asksAt = queue.now + (granted ? 5 : waitMs);
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
  const queueAt = (next: number, extra: Partial<State> = {}) => {
    const queue = new Queue({ intervalMs: 100, burst: 1 });
    queue.state = { ...EMPTY, next: START + next, ...extra };
    return queue;
  };
  const waiting = { foregroundUntil: START + 1 };

  test.each<[string, Priority, number, Partial<State>]>([
    ['a foreground login for exactly 2 s', 'newcomer', 2_000, {}],
    ['a background login for exactly 500 ms', 'background', 500, {}],
    ['a background login for 500 ms once no foreground login waits', 'background', 500, { foregroundUntil: START }],
    ['a background login for 2 s and an interval while a foreground login waits', 'background', 2_100, waiting],
  ])('is granted to %s, and refused after that', (_, kind, longestMs, extra) => {
    const placeAt = (next: number) => queueAt(next, extra).reserve(kind);
    expect(placeAt(longestMs)).toEqual({ granted: true, waitMs: longestMs });
    expect(placeAt(longestMs + 1)).toEqual({ granted: false, waitMs: 1 });
  });

  test('is refused to a background login until two intervals after the last one, while a foreground login waits', () => {
    const queue = queueAt(0, { foregroundUntil: START + 1_000 });
    queue.reserve('background');
    expect(queue.state.nextYielding).toBe(START + 200);
    expect(queue.reserve('background', 199)).toEqual({ granted: false, waitMs: 1 });
    expect(queue.reserve('background', 1).granted).toBe(true);
  });

  test('is looked for in the stored state up to the longest wait and two intervals ahead', () => {
    expect(queueAt(2_200).reserve('newcomer').granted).toBe(false);
    expect(queueAt(2_201).reserve('newcomer')).toEqual({ granted: true, waitMs: 0 });
  });

  test('of a foreground login that does not wait leaves the places of the background alone', () => {
    const queue = queueAt(-1_000, { foregroundUntil: START - 5, nextYielding: START - 7 });
    queue.reserve('newcomer');
    const after = { ...EMPTY, next: START + 100, foregroundUntil: START - 5, nextYielding: START - 7 };
    expect(queue.state).toEqual(after);
    queue.reserve('newcomer');
    const waits = { next: START + 200, newcomersUntil: START + 100, foregroundUntil: START + 100 };
    expect(queue.state).toEqual({ ...after, ...waits });
  });
});
