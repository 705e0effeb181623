import type { Timer } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { SubjectId } from '../token/subject.ts';
import type { BrokerPorts } from './broker-ports.ts';
import type { Renewal } from './renewal.ts';

/** Maximum number of concurrent renewals of one replica. */
const MAX_CONCURRENCY = 128;
/** Longest pause between two claims while tokens are saved, or while announcements may be missed. */
const BUSY_PAUSE_MS = 1_000;
/** Longest pause otherwise. Every saved token is announced and shortens it. */
const IDLE_PAUSE_MS = 5_000;
/** Pause after the login budget was used up, if the login queue does not say when to ask again. */
const BUDGET_PAUSE_MS = 500;

export interface RefreshWorkerOptions
  extends Pick<BrokerPorts, 'dueQueue' | 'announcements' | 'clock' | 'log' | 'observer'> {
  readonly renewal: Renewal;
}

/** Background job: claims due tokens from the queue that all replicas share, and renews them or lets them go. */
export class RefreshWorker {
  readonly #options: RefreshWorkerOptions;
  readonly #active = new Set<Promise<unknown>>();
  #isStopped = false;
  /** The last claim. */
  #claiming: Promise<void> | undefined;
  #timer: Timer | undefined;
  /** When the timer of the next claim ends, by the monotonic clock. `-Infinity`: none runs. */
  #nextClaimAt = Number.NEGATIVE_INFINITY;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  /** Whether the last claim was skipped because too many renewals were running. */
  #isFull = false;
  /** The longest time that a token was due, among those whose renewal has begun since the last claim. */
  #longestLateMs = 0;

  constructor(options: RefreshWorkerOptions) {
    this.#options = options;
    options.announcements.subscribe(({ kind }) => {
      if (kind === 'saved') this.#claimWithin(BUSY_PAUSE_MS);
    });
  }

  /** Does nothing after {@link stop}. */
  start(): void {
    if (!this.#isStopped) this.#claiming ??= this.#claimAndPause();
  }

  /** Stops claiming and waits for the running renewals. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#nextClaimAt = Number.NEGATIVE_INFINITY;
    await this.#claiming;
    await Promise.all(this.#active);
  }

  async #claimAndPause(): Promise<void> {
    this.#nextClaimAt = Number.NEGATIVE_INFINITY;
    const pauseMs = await this.#claim();
    if (!this.#isStopped) this.#claimIn(pauseMs);
  }

  #claimIn(ms: number): void {
    const { clock } = this.#options;
    this.#timer?.cancel();
    this.#nextClaimAt = clock.monotonic() + ms;
    this.#timer = clock.setTimer(() => {
      this.#claiming = this.#claimAndPause();
    }, ms);
  }

  /** Ends the pause between two claims at most `ms` from now. */
  #claimWithin(ms: number): void {
    if (this.#nextClaimAt > this.#options.clock.monotonic() + ms) this.#claimIn(ms);
  }

  /** Starts the renewals of due tokens. Returns the pause until the next claim in ms. */
  async #claim(): Promise<number> {
    const { dueQueue, announcements, clock, log, observer } = this.#options;
    const pauseMs = this.#pausedUntil - clock.monotonic();
    if (pauseMs > 0) return pauseMs;
    const free = MAX_CONCURRENCY - this.#active.size;
    // Claims of a few tokens at a time cost more than they bring. The worker waits until half of the capacity is free:
    // the renewal that frees it ends the pause.
    this.#isFull = free < MAX_CONCURRENCY / 2;
    if (this.#isFull) return BUSY_PAUSE_MS;
    const longestMs = announcements.completeSince() === undefined ? BUSY_PAUSE_MS : IDLE_PAUSE_MS;
    try {
      const { ids, nextInMs, backlog, overdueMs } = await dueQueue.claim(free);
      observer.backlogSeen(backlog);
      // A retry moves the due time in the queue, but not the one in the token.
      observer.overdueSeen(Math.max(overdueMs, this.#longestLateMs));
      this.#longestLateMs = 0;
      // While the worker stops, other replicas take what it has claimed.
      if (!this.#isStopped) for (const id of ids) this.#start(id);
      return Math.min(longestMs, nextInMs ?? longestMs);
    } catch (error) {
      log.warn({ err: error }, 'the due queue could not be read');
      return BUSY_PAUSE_MS;
    }
  }

  #start(id: SubjectId): void {
    const { renewal, observer } = this.#options;
    const onDue = (latenessMs: number): void => {
      observer.renewalClaimed(latenessMs);
      this.#longestLateMs = Math.max(this.#longestLateMs, latenessMs);
    };
    const work = renewal
      .renewDue(id, onDue)
      .catch((error: unknown) => this.#onFailure(id, error))
      .finally(() => {
        this.#active.delete(work);
        if (this.#isFull) this.#claimWithin(0);
      });
    this.#active.add(work);
  }

  #onFailure(id: SubjectId, error: unknown): void {
    const { clock, log } = this.#options;
    if (error instanceof BrokerError && error.code === 'vendor_busy') {
      const pauseMs = Math.min(error.waitMs ?? BUDGET_PAUSE_MS, BUSY_PAUSE_MS);
      this.#pausedUntil = clock.monotonic() + pauseMs;
      // The place then goes to the login that asks first.
      this.#claimWithin(pauseMs);
      log.debug({ subject: id }, 'a renewal waits for the login budget');
    } else {
      log.warn({ subject: id, err: error }, 'a renewal failed');
    }
  }
}
