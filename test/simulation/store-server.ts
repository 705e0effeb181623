import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import type { Clock } from '../../src/token/clock.ts';
import type { Announcement, TokenStore } from '../../src/token/ports.ts';
import type { SubjectId } from '../../src/token/subject.ts';
import type { VirtualTime } from './virtual-time.ts';

const TERMINALS_PER_ACCOUNT = 20;
const FAR_AHEAD_MS = 1e12;
/** Commands that waited for the server run in this distance, in the order of their arrival. */
const QUEUE_STEP_MS = 0.001;
/** Commands that change nothing. */
const READS = new Set(['read', 'find', 'identify', 'lookUp', 'outlook', 'nextPlaceInMs', 'ping']);

/** A command of the store. */
export interface StoreCommand {
  readonly part: 'terminals' | 'accounts' | 'dueQueue' | 'rateLimiter' | 'loginQueue';
  readonly name: string;
  readonly args: readonly unknown[];
}

/** A command that the server has executed. */
export interface ExecutedCommand extends StoreCommand {
  /** The replica that sent it. */
  readonly replica: number;
  /** ms since the start. */
  readonly sentAt: number;
  readonly result: unknown;
  readonly announced: readonly Announcement[];
}

/**
 * The store's server: the in-memory store, which can stand still, stop, and come back with its data, without it, or
 * with an older state of it.
 */
export class StoreServer {
  readonly #time: VirtualTime;
  readonly #clock: Clock;
  readonly #announcementListeners: ((announcement: Announcement) => void)[] = [];
  readonly #commandListeners: ((command: ExecutedCommand) => void)[] = [];
  /** Every change since the server last started empty, for {@link goBack}. */
  #log: { readonly at: number; readonly command: StoreCommand }[] = [];
  #replayedAt: number | undefined;
  #aheadMs = 0;
  #announced: Announcement[] = [];
  #waiting = 0;
  #isUp = true;
  #stalledUntil = 0;
  /** Changes when the data was lost. */
  epoch = 1;
  /** The number of times that it came back with an older state. */
  timesGoneBack = 0;
  data: TokenStore;

  constructor(time: VirtualTime) {
    this.#time = time;
    // The server is no process of the broker: it never freezes.
    const clock = time.clockOf({ number: -1, alive: true, frozenUntil: 0, clockOffsetMs: 0 });
    this.#clock = {
      ...clock,
      now: () => Math.floor(this.#replayedAt ?? clock.now()) + this.#aheadMs,
      monotonic: () => (this.#replayedAt ?? time.now) - time.startedAt,
    };
    this.data = this.#create();
  }

  now(): number {
    return this.#time.now;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Whether it answers commands now. */
  get answers(): boolean {
    return this.#isUp && this.#time.now >= this.#stalledUntil;
  }

  /** Calls `listener` for each announcement at the moment the server publishes it. */
  onAnnouncement(listener: (announcement: Announcement) => void): void {
    this.#announcementListeners.push(listener);
  }

  /** Calls `listener` after each command, at the virtual time of its execution. */
  onCommand(listener: (command: ExecutedCommand) => void): void {
    this.#commandListeners.push(listener);
  }

  stop(): void {
    this.#isUp = false;
  }

  start(): void {
    this.#isUp = true;
  }

  /** Executes nothing for `ms`. Connections stay, and commands that arrive wait. */
  stall(ms: number): void {
    this.#stalledUntil = Math.max(this.#stalledUntil, this.#time.now + ms);
    this.#waiting = 0;
  }

  /** Calls `run` at once, or when the server runs again. */
  whenRunning(run: () => void): void {
    const waitMs = this.#stalledUntil - this.#time.now;
    if (waitMs > 0) {
      this.#waiting += 1;
      this.#time.after(waitMs + this.#waiting * QUEUE_STEP_MS, run);
    } else {
      run();
    }
  }

  /** Executes a command that has arrived. */
  async execute(command: StoreCommand, replica: number, sentAt: number): Promise<unknown> {
    const announced: Announcement[] = [];
    this.#announced = announced;
    const result = await apply(this.data, command);
    if (READS.has(command.name)) return result;
    this.#log.push({ at: this.#time.now, command });
    for (const listener of this.#commandListeners) listener({ ...command, replica, sentAt, result, announced });
    return result;
  }

  loseData(): void {
    this.#log = [];
    this.data = this.#create();
    this.epoch += 1;
  }

  /** Replaces the data by its state of an earlier time: repeats the commands up to then in an empty store. */
  async goBack(to: number): Promise<void> {
    const kept = this.#log.filter(({ at }) => at <= to);
    this.data = this.#create();
    for (const { at, command } of kept) {
      this.#replayedAt = at;
      await apply(this.data, command);
    }
    this.#replayedAt = undefined;
    this.#log = kept;
    this.timesGoneBack += 1;
  }

  /** How many subjects have a due time, and how many of `ids` have a token. */
  async count(ids: readonly SubjectId[]): Promise<{ readonly scheduled: number; readonly stored: number }> {
    const { terminals, dueQueue } = this.data;
    // Far in the future every due time is over, and a claim of no subject changes nothing. The in-memory store answers
    // with the state at the time of the call, so no event comes in between.
    this.#aheadMs = FAR_AHEAD_MS;
    const claim = dueQueue.claim(0);
    this.#aheadMs = 0;
    const terminal = ids.map((id) => terminals.read(id));
    const { backlog } = await claim;
    const stored = (await Promise.all(terminal)).filter(({ record }) => record !== undefined);
    return { scheduled: backlog, stored: stored.length };
  }

  /** The subjects whose lease is held. Takes the other leases for a moment, so it is for the end of a run. */
  async leased(ids: readonly SubjectId[]): Promise<SubjectId[]> {
    const answers = await Promise.all(ids.map((id) => this.data.terminals.acquire(id, 1)));
    return ids.filter((_, index) => answers[index]?.kind === 'held');
  }

  #create(): TokenStore {
    const store = createMemoryStore({ clock: this.#clock, terminalsPerAccount: TERMINALS_PER_ACCOUNT });
    store.announcements.subscribe((announcement) => {
      if (this.#replayedAt !== undefined) return;
      this.#announced.push(announcement);
      for (const listener of this.#announcementListeners) listener(announcement);
    });
    return store;
  }
}

function apply(store: TokenStore, { part, name, args }: StoreCommand): Promise<unknown> {
  const target = store[part] as unknown as Record<string, (...args: readonly unknown[]) => Promise<unknown>>;
  return Reflect.apply(target[name] as (...args: readonly unknown[]) => Promise<unknown>, target, args);
}
