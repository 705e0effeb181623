import type { Renewal } from '../broker/renewal.ts';
import type { Clock } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import type { TokenStore } from '../token/ports.ts';
import { dueAt, isRenewedUnasked, type RefreshPolicy } from '../token/refresh-policy.ts';
import type { SubjectId } from '../token/subject.ts';

/** Most renewals under way at a time on one replica. */
const CONCURRENCY = 32;
/** How long a claim hides a subject from other workers; from the renewal's start on, its lease does. */
const VISIBILITY_MS = 2_000;
/** Longest pause between two looks at the schedule: other replicas add to it. */
const MAX_PAUSE_MS = 1_000;

export interface RefreshWorkerOptions {
  readonly store: TokenStore;
  readonly renewal: Renewal;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
}

/** Claims what is due over all replicas and has it renewed, let go, or swept away. */
export class RefreshWorker {
  readonly #options: RefreshWorkerOptions;
  readonly #active = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #loop: Promise<void> | undefined;
  #wake: () => void = () => undefined;

  constructor(options: RefreshWorkerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Claims nothing more and waits until what was claimed is done. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#loop;
    await Promise.all(this.#active);
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) await this.#pause(await this.#claim());
  }

  /** Starts what is due and answers after how many ms to look again. */
  async #claim(): Promise<number> {
    const free = CONCURRENCY - this.#active.size;
    if (free <= 0) return MAX_PAUSE_MS;
    try {
      const { ids, nextInMs } = await this.#options.store.claimDue(free, VISIBILITY_MS);
      for (const id of ids) this.#start(id);
      return Math.min(MAX_PAUSE_MS, nextInMs ?? MAX_PAUSE_MS);
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the schedule could not be read');
      return MAX_PAUSE_MS;
    }
  }

  #start(id: SubjectId): void {
    const work = this.#look(id)
      .catch((error: unknown) => this.#options.log.warn({ subject: id, err: error }, 'a renewal failed'))
      .finally(() => {
        this.#active.delete(work);
        if (this.#active.size === CONCURRENCY - 1) this.#wake();
      });
    this.#active.add(work);
  }

  async #look(id: SubjectId): Promise<void> {
    const { store, renewal, policy, clock } = this.#options;
    const record = await store.read(id);
    if (!record || clock.now() >= record.token.expiresAt) return store.sweep(id);
    const due = dueAt(record, policy);
    if (clock.now() < due || !isRenewedUnasked(record, policy)) return store.schedule(id, due);
    const { subject, region, generation } = record;
    const satisfies = (other: { readonly generation: number }) => other.generation > generation;
    await renewal.renew({ id, subject, region, known: record, askedFor: false, satisfies });
  }

  #pause(ms: number): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
