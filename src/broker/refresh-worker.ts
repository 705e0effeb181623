import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import type { AnnouncementFeed, DueClaim, DueQueue } from '../token/ports.ts';
import { dueAt, isRenewedInBackground, type RefreshPolicy } from '../token/renewal-timing.ts';
import type { SubjectId } from '../token/subject.ts';
import type { Renewal } from './renewal.ts';

/** A wait that can be cut short. */
class Pause {
  #end: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** On the clock of `performance.now()`. */
  #endsAt = 0;

  /** Resolves after `ms`, or when it is ended or shortened. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#end = resolve;
      this.#endIn(ms);
    });
  }

  end(): void {
    this.shortenTo(0);
  }

  /** Lets the wait last no longer than `ms` from now. */
  shortenTo(ms: number): void {
    if (this.#end && this.#endsAt > performance.now() + ms) this.#endIn(ms);
  }

  #endIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#endsAt = performance.now() + ms;
    this.#timer = setTimeout(() => {
      this.#end?.();
      this.#end = undefined;
    }, ms);
  }
}

/** Most renewals under way at a time on one replica; while the login budget is short, fewer. */
const CONCURRENCY = 128;
const LEAST_CONCURRENCY = 4;
/** Longest pause between two looks at the schedule where somebody adds to it, or might without being heard. */
const BUSY_PAUSE_MS = 1_000;
/** And where nobody does: each is announced. */
const IDLE_PAUSE_MS = 5_000;
/** How long nothing is claimed once the login budget was spent: who waits goes first. */
const SPENT_PAUSE_MS = 500;

export interface RefreshWorkerOptions {
  readonly dueQueue: DueQueue;
  readonly announcements: AnnouncementFeed;
  readonly renewal: Renewal;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
}

/** Claims what is due over all replicas and has it renewed, let go, or swept away. */
export class RefreshWorker {
  readonly #options: RefreshWorkerOptions;
  readonly #active = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #loop: Promise<void> | undefined;
  readonly #pause = new Pause();
  #concurrency = CONCURRENCY;
  #spentUntil = 0;
  /** Whether the last look found too many renewals under way to claim more. */
  #lacksRoom = false;

  constructor(options: RefreshWorkerOptions) {
    this.#options = options;
    options.announcements.subscribe(({ kind }) => {
      if (kind === 'saved') this.#pause.shortenTo(BUSY_PAUSE_MS);
    });
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Claims nothing more and waits until what was claimed is done. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#pause.end();
    await this.#loop;
    await Promise.all(this.#active);
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const ms = await this.#claim();
      if (!this.#stop.signal.aborted) await this.#pause.wait(ms);
    }
  }

  /** Starts what is due and answers after how many ms to look again. */
  async #claim(): Promise<number> {
    const { dueQueue, announcements, renewal, clock, log, observer } = this.#options;
    const spentMs = this.#spentUntil - clock.now();
    if (spentMs > 0) return spentMs;
    const free = this.#concurrency - this.#active.size;
    // Few at a time would cost more than they bring: half of them are waited for.
    this.#lacksRoom = free < this.#concurrency / 2;
    if (this.#lacksRoom) return BUSY_PAUSE_MS / 10;
    const longestMs = announcements.completeSince() === undefined ? BUSY_PAUSE_MS : IDLE_PAUSE_MS;
    try {
      const { claims, nextInMs, backlog } = await dueQueue.claim(free, renewal.claimBounds);
      observer.backlogSeen(backlog);
      for (const claim of claims) this.#start(claim);
      return Math.min(longestMs, nextInMs ?? longestMs);
    } catch (error) {
      log.warn({ err: error }, 'the schedule could not be read');
      return BUSY_PAUSE_MS;
    }
  }

  #start(claim: DueClaim): void {
    const work = this.#renew(claim)
      .catch((error: unknown) => this.#noteFailure(claim.lease.id, error))
      .finally(() => {
        this.#active.delete(work);
        if (this.#lacksRoom && this.#active.size <= this.#concurrency / 2) this.#pause.end();
      });
    this.#active.add(work);
  }

  #noteFailure(id: SubjectId, error: unknown): void {
    const { clock, log } = this.#options;
    if (error instanceof BrokerError && error.code === 'vendor_busy') {
      const now = clock.now();
      if (now >= this.#spentUntil) this.#concurrency = Math.max(LEAST_CONCURRENCY, this.#concurrency / 4);
      this.#spentUntil = now + SPENT_PAUSE_MS;
      log.debug({ subject: id }, 'a renewal waits for its place in the login budget');
    } else {
      log.warn({ subject: id, err: error }, 'a renewal failed');
    }
  }

  async #renew(claim: DueClaim): Promise<void> {
    const { renewal, policy, clock, observer } = this.#options;
    const { lease, record } = claim;
    const now = clock.now();
    const due = dueAt(record, policy, lease.id);
    if (this.#stop.signal.aborted) return renewal.putOff(claim, now);
    if (now < due || !isRenewedInBackground(record, policy)) return renewal.putOff(claim, due);
    observer.renewalClaimed(now - due);
    await renewal.renewDue(claim);
    this.#concurrency = Math.min(CONCURRENCY, this.#concurrency + 1);
  }
}
