import type { Renewal } from '../broker/renewal.ts';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import type { TokenStore } from '../token/ports.ts';
import { dueAt, isRenewedUnasked, type RefreshPolicy } from '../token/refresh-policy.ts';
import type { SubjectId } from '../token/subject.ts';
import { Pause } from './pause.ts';

/** Most renewals under way at a time on one replica. */
const CONCURRENCY = 32;
/** How long a claim hides a subject from other workers; from the renewal's start on, its lease does. */
const VISIBILITY_MS = 2_000;
/** Longest pause between two looks at the schedule where somebody adds to it, or might without being heard. */
const BUSY_PAUSE_MS = 1_000;
/** And where nobody does: each is announced. */
const IDLE_PAUSE_MS = 5_000;
/** How long nothing is claimed once the login budget was spent: who waits goes first. */
const SPENT_PAUSE_MS = 500;

export interface RefreshWorkerOptions {
  readonly store: TokenStore;
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
  #spentUntil = 0;

  constructor(options: RefreshWorkerOptions) {
    this.#options = options;
    options.store.subscribe(({ kind }) => {
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
    const { store, clock, log, observer } = this.#options;
    const free = CONCURRENCY - this.#active.size;
    const spentMs = this.#spentUntil - clock.now();
    if (free <= 0 || spentMs > 0) return Math.max(spentMs, BUSY_PAUSE_MS / 10);
    const longestMs = store.announcedSince() === undefined ? BUSY_PAUSE_MS : IDLE_PAUSE_MS;
    try {
      const { ids, nextInMs, backlog } = await store.claimDue(free, VISIBILITY_MS);
      observer.backlogSeen(backlog);
      for (const id of ids) this.#start(id);
      return Math.min(longestMs, nextInMs ?? longestMs);
    } catch (error) {
      log.warn({ err: error }, 'the schedule could not be read');
      return BUSY_PAUSE_MS;
    }
  }

  #start(id: SubjectId): void {
    const work = this.#look(id)
      .catch((error: unknown) => this.#noteFailure(id, error))
      .finally(() => {
        this.#active.delete(work);
        if (this.#active.size === CONCURRENCY - 1) this.#pause.end();
      });
    this.#active.add(work);
  }

  #noteFailure(id: SubjectId, error: unknown): void {
    const { clock, log } = this.#options;
    if (error instanceof BrokerError && error.code === 'vendor_busy') {
      this.#spentUntil = clock.now() + SPENT_PAUSE_MS;
      log.debug({ subject: id }, 'a renewal waits for its place in the login budget');
    } else {
      log.warn({ subject: id, err: error }, 'a renewal failed');
    }
  }

  async #look(id: SubjectId): Promise<void> {
    const { store, renewal, policy, clock, observer } = this.#options;
    const { record } = await store.read(id);
    const now = clock.now();
    if (!record || now >= record.token.expiresAt) return store.sweep(id);
    const due = dueAt(record, policy);
    if (now < due || !isRenewedUnasked(record, policy)) return store.schedule(id, due);
    observer.renewalClaimed(now - due);
    const { subject, region, generation } = record;
    const satisfies = (other: { readonly generation: number }) => other.generation > generation;
    await renewal.renew({
      id,
      subject,
      region,
      known: record,
      cause: 'unasked',
      sessionIssuedAt: undefined,
      satisfies,
    });
  }
}
