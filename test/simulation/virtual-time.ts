import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock, Timer } from '../../src/token/clock.ts';
import { seededRandom } from '../support/seeded-random.ts';

/** A process whose timers and messages stop when it crashes, and wait while it stands still. */
export interface VirtualProcess {
  /** That of the replica. */
  readonly number: number;
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
  /** The earliest event is the last one. */
  readonly #queue: ScheduledEvent[] = [];

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
    this.#insert(event);
    return {
      cancel() {
        event.cancelled = true;
      },
    };
  }

  /** The number of events that still wait on behalf of the process: its timers, and messages to it. */
  pendingOf(process: VirtualProcess): number {
    return this.#queue.filter((event) => event.process === process && !event.cancelled).length;
  }

  #insert(event: ScheduledEvent): void {
    this.#queue.splice(placeIn(this.#queue, event), 0, event);
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

  /** Runs all events up to `ms` from now. */
  async run(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (let event = this.#queue.pop(); event; event = this.#queue.pop()) {
      const { process } = event;
      if (event.cancelled || process?.alive === false) continue;
      if (process && process.frozenUntil > event.at) {
        event.rank = rankOf(event.kind, event.at);
        event.at = process.frozenUntil;
        this.#insert(event);
        continue;
      }
      if (event.at > until) {
        this.#insert(event);
        break;
      }
      this.#now = event.at;
      this.#steps += 1;
      event.run();
      await nextTurn();
    }
    this.#now = until;
  }
}

function rankOf(kind: ScheduledEvent['kind'], at: number): number {
  return (ORDER[kind] + 1) * RANK_STEP + at;
}

/** Where in the queue, which ends with the earliest event, an event belongs. */
function placeIn(queue: readonly ScheduledEvent[], event: ScheduledEvent): number {
  let [low, high] = [0, queue.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(event, queue[middle] as ScheduledEvent)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isBefore(one: ScheduledEvent, other: ScheduledEvent): boolean {
  if (one.at !== other.at) return one.at < other.at;
  return one.rank === other.rank ? one.tie < other.tie : one.rank < other.rank;
}
