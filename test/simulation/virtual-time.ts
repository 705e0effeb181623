import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock, Timer } from '../../src/token/clock.ts';
import { seededRandom } from '../support/seeded-random.ts';

/** A process whose timers and messages stop when it crashes, and wait while it stands still. */
export interface VirtualProcess {
  readonly name: string;
  alive: boolean;
  /** Epoch ms. Its events wait until then. */
  frozenUntil: number;
  /** Its wall clock minus the virtual time. Its monotonic clock is always right. */
  clockOffsetMs: number;
}

/**
 * The order of what has waited for a process that stood still: an event loop runs the timers that are due, then reads
 * the messages that have arrived, then calls what waits for the next turn.
 */
const ORDER = { timer: 0, message: 1, turn: 2 } as const;

interface ScheduledEvent {
  at: number;
  /** Order among events of the same time. 0 unless the event has waited, or waits for the next turn. */
  rank: number;
  /** Random order among events of the same time and rank. */
  readonly tie: number;
  readonly run: () => void;
  readonly process: VirtualProcess | undefined;
  readonly kind: keyof typeof ORDER;
  cancelled: boolean;
}

const START_MS = 1_800_000_000_000;
/** Larger than any time, so that the kind counts first and the time second. */
const RANK_STEP = 1e13;

/**
 * Virtual time with one event at a time. The seed decides every random number and the order of events at the same time,
 * so the same seed gives the same run.
 */
export class VirtualTime {
  readonly startedAt = START_MS;
  readonly random: () => number;
  #now = START_MS;
  #steps = 0;
  readonly #queue = new EventHeap();

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** Epoch ms. */
  get now(): number {
    return this.#now;
  }

  /** The number of events so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Runs `run` after `ms`: an event of the world around the processes, or a message to `process`. */
  after(ms: number, run: () => void, process?: VirtualProcess): Timer {
    return this.#add('message', ms, run, process);
  }

  #add(kind: ScheduledEvent['kind'], ms: number, run: () => void, process?: VirtualProcess): Timer {
    const at = this.#now + Math.max(0, ms);
    const rank = kind === 'turn' ? rankOf(kind, at) : 0;
    const event = { at, rank, tie: this.random(), run, process, kind, cancelled: false };
    this.#queue.push(event);
    return {
      cancel() {
        event.cancelled = true;
      },
    };
  }

  /** The number of events that still wait on behalf of the process: its timers, and messages to it. */
  pendingOf(process: VirtualProcess): number {
    return this.#queue.count((event) => event.process === process && !event.cancelled);
  }

  clockOf(process: VirtualProcess): Clock {
    return {
      now: () => Math.floor(this.#now) + process.clockOffsetMs,
      monotonic: () => this.#now - START_MS,
      random: this.random,
      setTimer: (callback, ms) => this.#add('timer', ms, callback, process),
      nextTurn: (callback) => void this.#add('turn', 0, callback, process),
    };
  }

  /** Runs all events up to `ms` from now. @param afterEach called after each event and the promises it settled */
  async run(ms: number, afterEach: () => void): Promise<void> {
    const until = this.#now + ms;
    for (let event = this.#queue.pop(); event; event = this.#queue.pop()) {
      const { process } = event;
      if (event.cancelled || process?.alive === false) continue;
      if (process && process.frozenUntil > event.at) {
        event.rank = rankOf(event.kind, event.at);
        event.at = process.frozenUntil;
        this.#queue.push(event);
        continue;
      }
      if (event.at > until) {
        this.#queue.push(event);
        break;
      }
      this.#now = event.at;
      this.#steps += 1;
      event.run();
      await nextTurn();
      afterEach();
    }
    this.#now = until;
  }
}

function rankOf(kind: ScheduledEvent['kind'], at: number): number {
  return (ORDER[kind] + 1) * RANK_STEP + at;
}

/** A binary heap of events, the earliest first. */
class EventHeap {
  readonly #events: ScheduledEvent[] = [];

  count(matches: (event: ScheduledEvent) => boolean): number {
    return this.#events.filter(matches).length;
  }

  push(event: ScheduledEvent): void {
    const events = this.#events;
    let at = events.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): ScheduledEvent | undefined {
    const events = this.#events;
    if (events.length === 0) return undefined;
    this.#swap(0, events.length - 1);
    const first = events.pop();
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      let smallest = at;
      if (left < events.length && this.#isBefore(left, smallest)) smallest = left;
      if (right < events.length && this.#isBefore(right, smallest)) smallest = right;
      if (smallest === at) return first;
      this.#swap(at, smallest);
      at = smallest;
    }
  }

  #isBefore(one: number, other: number): boolean {
    const [a, b] = [this.#events[one], this.#events[other]];
    if (!a || !b) return false;
    if (a.at !== b.at) return a.at < b.at;
    return a.rank === b.rank ? a.tie < b.tie : a.rank < b.rank;
  }

  #swap(one: number, other: number): void {
    const events = this.#events;
    const [a, b] = [events[one], events[other]];
    if (a && b) [events[one], events[other]] = [b, a];
  }
}
