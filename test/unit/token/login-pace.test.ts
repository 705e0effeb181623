import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY_PACE, type Pace, type Place, reservePlace, type Urgency } from '../../../src/token/login-queue.ts';

const START = 1_800_000_000_000;
/** VENDOR_MAX_RPS=20. */
const TWENTY: Pace = { intervalMs: 50, burst: 2 };

interface Arrival {
  /** Ms since the one before. */
  readonly afterMs: number;
  readonly urgency: Urgency;
}

interface Answer extends Place {
  readonly at: number;
  readonly urgency: Urgency;
}

/** A queue in simulated time. */
class Queue {
  now = START;
  readonly answers: Answer[] = [];
  readonly #pace: Pace;
  #state = EMPTY_PACE;

  constructor(pace: Pace) {
    this.#pace = pace;
  }

  reserve(urgency: Urgency, afterMs = 0): Place {
    this.now += afterMs;
    const { place, state } = reservePlace(this.#state, this.now, this.#pace, urgency);
    this.#state = state;
    this.answers.push({ ...place, at: this.now, urgency });
    return place;
  }

  /** The instants handed out, in the order of the questions. */
  places(urgency?: Urgency): number[] {
    return this.answers
      .filter((answer) => answer.granted && (urgency ?? answer.urgency) === answer.urgency)
      .map(({ at, waitMs }) => at + waitMs);
  }

  /** Whether somebody waits at this moment whom an app asked for. */
  isCrowded(): boolean {
    return this.places('foreground').some((place) => place > this.now);
  }
}

const gap = fc.oneof(
  { weight: 8, arbitrary: fc.nat(20) },
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.nat(400) },
  { weight: 1, arbitrary: fc.nat(60_000) },
);
const urgency = fc.constantFrom<Urgency>('foreground', 'background');
const arrivals = fc.array(fc.record({ afterMs: gap, urgency }), { minLength: 1, maxLength: 250 });
const paces = fc.integer({ min: 1, max: 200 }).map((perSecond) => ({
  intervalMs: 1_000 / perSecond,
  burst: Math.max(1, Math.round(perSecond / 10)),
}));

function queueAfter(pace: Pace, each: readonly Arrival[], onAnswer: (queue: Queue, place: Place) => void = () => {}) {
  const queue = new Queue(pace);
  for (const { afterMs, urgency } of each) onAnswer(queue, queue.reserve(urgency, afterMs));
  return queue;
}

/** Most of the instants that lie in any one second, both ends included. */
function mostInASecond(instants: readonly number[]): number {
  return Math.max(0, ...instants.map((first) => instants.filter((at) => at >= first && at <= first + 1_000).length));
}

const perSecond = ({ intervalMs }: Pace) => Math.round(1_000 / intervalMs);

describe('the pace', () => {
  test('of 20 per second never has more than 22 places in any one second, whatever the arrivals', () => {
    fc.assert(
      fc.property(arrivals, (each) => {
        expect(mostInASecond(queueAfter(TWENTY, each).places())).toBeLessThanOrEqual(22);
      }),
    );
    const greedy = new Queue(TWENTY);
    for (let time = 0; time < 10_000; time += 1) greedy.reserve(time % 2 ? 'foreground' : 'background', 1);
    expect(mostInASecond(greedy.places().slice(0, 60))).toBe(22);
  });

  test('is held in any second, whatever it is: no more than a second’s worth and the burst', () => {
    fc.assert(
      fc.property(paces, arrivals, (pace, each) => {
        const most = mostInASecond(queueAfter(pace, each).places());
        expect(most).toBeLessThanOrEqual(perSecond(pace) + pace.burst);
      }),
    );
  });

  test('lets no more through at once after a pause than the burst', () => {
    fc.assert(
      fc.property(paces, arrivals, fc.integer({ min: 3_000, max: 10 ** 9 }), urgency, (pace, each, pauseMs, who) => {
        const queue = queueAfter(pace, each);
        // Nobody queues for longer than this, and by then a whole burst has come together.
        queue.now += pauseMs + pace.burst * pace.intervalMs;
        // Instants in floating point are a fraction of a microsecond off.
        const isAtOnce = ({ granted, waitMs }: Place) => granted && waitMs < 0.01;
        const places = Array.from({ length: pace.burst + 1 }, () => queue.reserve(who));
        expect(places.map(isAtOnce)).toEqual([...Array(pace.burst).fill(true), false]);
      }),
    );
  });

  test('wastes no place: while somebody asks all the time, each interval has one', () => {
    const queue = new Queue(TWENTY);
    for (let passedMs = 0; passedMs < 10_000; passedMs += 5) queue.reserve('foreground', 5);
    expect(queue.places().filter((at) => at < START + 10_000).length).toBeGreaterThanOrEqual(200);
  });

  test('is resumed at once after the clock was set back', () => {
    const hour = 3_600_000;
    fc.assert(
      fc.property(arrivals, urgency, fc.integer({ min: 5_000, max: hour }), (each, who, backMs) => {
        const queue = queueAfter(TWENTY, each);
        queue.now -= backMs;
        expect(queue.reserve(who)).toEqual({ granted: true, waitMs: 0 });
        expect(queue.reserve(who)).toEqual({ granted: true, waitMs: 0 });
        expect(queue.reserve(who)).toEqual({ granted: true, waitMs: 50 });
      }),
    );
  });
});

describe('who is asked for', () => {
  test('never queues longer than 2 s: else it is told when to ask again, and that is true', () => {
    fc.assert(
      fc.property(paces, arrivals, (pace, each) => {
        const queue = queueAfter(pace, each, ({ answers }, place) => {
          if (place.granted && answers.at(-1)?.urgency === 'foreground')
            expect(place.waitMs).toBeLessThanOrEqual(2_000);
        });
        const { granted, waitMs } = queue.reserve('foreground');
        if (!granted) {
          expect(waitMs).toBeGreaterThan(0);
          expect(queue.reserve('foreground', waitMs + 0.001).granted).toBe(true);
        }
      }),
    );
  });

  test('finds no more than half a second of renewals in front where nobody waited', () => {
    const queue = new Queue(TWENTY);
    for (let time = 0; time < 1_000; time += 1) queue.reserve('background');
    expect(queue.reserve('foreground').waitMs).toBeLessThanOrEqual(500 + TWENTY.intervalMs);
  });

  test('leaves renewals no more than half of the places while it waits', () => {
    const crowd = fc.array(fc.record({ afterMs: fc.nat(15), urgency }), { minLength: 100, maxLength: 250 });
    fc.assert(
      fc.property(crowd, (each) => {
        const queue = new Queue(TWENTY);
        let crowdedSince: number | undefined;
        let renewals = 0;
        for (const { afterMs, urgency } of each) {
          queue.now += afterMs;
          if (!queue.isCrowded()) crowdedSince = undefined;
          else if (crowdedSince === undefined) {
            crowdedSince = queue.now;
            renewals = 0;
          }
          const { granted } = queue.reserve(urgency);
          if (crowdedSince === undefined || !granted || urgency === 'foreground') continue;
          renewals += 1;
          const places = (queue.now - crowdedSince) / TWENTY.intervalMs;
          expect(renewals).toBeLessThanOrEqual(1 + places / 2);
        }
      }),
    );
  });
});

describe('a renewal', () => {
  test('queues no longer than 500 ms where nobody waits', () => {
    fc.assert(
      fc.property(paces, fc.array(gap, { minLength: 1, maxLength: 250 }), (pace, gaps) => {
        const each = gaps.map((afterMs) => ({ afterMs, urgency: 'background' as const }));
        const { answers } = queueAfter(pace, each);
        for (const { granted, waitMs } of answers) if (granted) expect(waitMs).toBeLessThanOrEqual(500);
      }),
    );
  });

  test('has all the places where nobody waits', () => {
    const queue = new Queue(TWENTY);
    for (let passedMs = 0; passedMs < 10_000; passedMs += 5) queue.reserve('background', 5);
    expect(queue.places().filter((at) => at < START + 10_000).length).toBeGreaterThanOrEqual(200);
  });

  test('has its half of a crowd, however many renewals went before it', () => {
    const queue = new Queue(TWENTY);
    for (let passedMs = 0; passedMs < 60_000; passedMs += 5) queue.reserve('background', 5);
    const before = queue.places('background').length;
    for (let passedMs = 0; passedMs < 10_000; passedMs += 5) {
      queue.reserve('background', 5);
      queue.reserve('foreground');
    }
    const renewals = queue.places('background').length - before;
    expect(renewals).toBeGreaterThanOrEqual(90);
    expect(renewals).toBeLessThanOrEqual(101);
  });

  test('that is denied takes no place from anybody', () => {
    const queue = new Queue({ intervalMs: 1_000, burst: 1 });
    queue.reserve('background');
    for (let time = 0; time < 100; time += 1) expect(queue.reserve('background').granted).toBe(false);
    expect(queue.reserve('foreground')).toEqual({ granted: true, waitMs: 1_000 });
  });
});
