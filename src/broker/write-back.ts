import { sleep, type Timer } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { RestoreOutcome, SessionsEnd } from '../token/ports.ts';
import { dueAt, servableUntil } from '../token/renewal-timing.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import { isSubjectId, type SubjectId, subjectId } from '../token/subject.ts';
import type { BrokerPorts } from './broker-ports.ts';
import { recordOf } from './cached-tokens.ts';
import type { Removal, TokenCache } from './token-cache.ts';

const RETRY_MS = 1_000;
/** At shutdown, time is short. */
const SETTLE_PAUSE_MS = 100;
const BATCH_SIZE = 64;
/** The tokens of this time are written back before older ones. */
const RECENT_MS = 600_000;
/** Each replica notices within about a second that the store has lost data, and writes back what it has. */
const RESTORE_MS = 5_000;
/** Most waiting records, and removals. With the default `VENDOR_MAX_RPS`, a replica's logins reach it in five hours. */
const MAX_MISSING = 50_000;

export interface WriteBackOptions
  extends Pick<BrokerPorts, 'terminals' | 'accounts' | 'health' | 'policy' | 'clock' | 'log' | 'observer'> {
  readonly cache: TokenCache;
}

/** A change that the store has missed or lost: a token, or without `record` a {@link Removal}. */
interface Missing extends Pick<Removal, 'id' | 'generation'> {
  readonly how?: SessionsEnd;
  readonly record?: TokenRecord;
  /** The issue time of the session that caused the login without a lease: epoch ms. */
  readonly sessionIssuedAt?: number | undefined;
}

/**
 * Writes to the store what it missed: tokens obtained during an outage and, after the store has lost data, every
 * logout, erasure and token in memory. The store refuses what is older than its own.
 */
export class WriteBack {
  readonly #options: WriteBackOptions;
  /** The record that has waited longest comes first. */
  readonly #tokens = new Map<string, Missing>();
  /** In the same order. */
  readonly #removals = new Map<string, Missing>();
  /** The changes that the store has lost. They are read one after the other, because there may be many. */
  #lost: Iterator<Missing, undefined> | undefined;
  /** When the store last lost data, by the monotonic clock. */
  #lostAt: number | undefined;
  /** The writes that are on their way to the store. */
  readonly #inFlight = new Map<SubjectId, Promise<RestoreOutcome>>();
  /** The number of missing changes that are on their way to the store. */
  #writing = 0;
  #flushing = false;
  #retry: Timer | undefined;
  #stopped = false;

  constructor(options: WriteBackOptions) {
    this.#options = options;
    options.health.onReturn((history) => {
      if (history !== 'same') {
        this.#lost = this.#known();
        this.#lostAt = options.clock.monotonic();
      }
      void this.#flush();
    });
  }

  /** Writes the record as soon as the store accepts it, unless the token ends before or too many newer ones wait. */
  add(record: TokenRecord, sessionIssuedAt?: number): void {
    this.#add({ id: subjectId(record.subject), generation: record.generation, record, sessionIssuedAt });
  }

  /**
   * Writes a token without a lease now. If this replica knows of a later logout or erasure, the store learns of the
   * login alone. If the store does, memory forgets the token. {@link writeOf} and {@link hasRecordOf} know of it.
   * @throws BrokerError `store_unavailable`, also while the clock of the store is not known
   */
  async write(id: SubjectId, record: TokenRecord, sessionIssuedAt?: number): Promise<RestoreOutcome> {
    const writing = this.#writeDated(id, record, sessionIssuedAt);
    this.#inFlight.set(id, writing);
    try {
      return await writing;
    } finally {
      if (this.#inFlight.get(id) === writing) this.#inFlight.delete(id);
    }
  }

  async #writeDated(id: SubjectId, missing: TokenRecord, sessionIssuedAt?: number): Promise<RestoreOutcome> {
    const { terminals, cache, policy } = this.#options;
    const now = terminals.clockFor(id);
    if (now === undefined)
      throw new BrokerError('store_unavailable', { cause: new Error('the clock of the store is not known') });
    const { generation } = missing;
    // The vendor had answered the login before now. A replica that did not know the clock of the store noted a later
    // time, and an erasure would be later than that.
    const answeredAt = Math.max(generation, Math.min(missing.answeredAt, Math.floor(now)));
    const record = { ...missing, answeredAt };
    const isOutdated = generation <= cache.outdatedUntil(id);
    const outcome = isOutdated
      ? 'outdated'
      : await terminals.restore(record, dueAt(record, policy, id), sessionIssuedAt);
    if (isOutdated) await terminals.drop(record);
    // The announcement of the logout may be lost.
    if (outcome === 'outdated') cache.tokens.remove(id, generation);
    return outcome;
  }

  /** Whether a token of the subject waits for the store. Only its own write knows the session that it is for. */
  hasRecordOf(id: SubjectId): boolean {
    return this.#tokens.has(id) || this.#inFlight.has(id);
  }

  /** The running write of a token of the subject to the store. Its end shows whether the token may be served. */
  writeOf(id: SubjectId): Promise<RestoreOutcome> | undefined {
    return this.#inFlight.get(id);
  }

  /** Whether another replica may still restore a token that the store lost. The first call notes the loss, if new. */
  mayBeRestored(): boolean {
    const now = this.#options.clock.monotonic();
    this.#lostAt ??= now;
    return now - this.#lostAt < RESTORE_MS;
  }

  /** Repeats a logout or an erasure that the store has lost. */
  repeatRemoval(removal: Removal): void {
    this.#add(removal);
  }

  /** Waits at most `timeoutMs` until the store has everything, and gives up what is still missing then. */
  async settle(timeoutMs: number): Promise<void> {
    const { clock } = this.#options;
    const until = clock.monotonic() + timeoutMs;
    while (this.#isMissing() && clock.monotonic() < until) {
      await this.#flush();
      if (this.#isMissing()) await sleep(clock, SETTLE_PAUSE_MS);
    }
    this.#stopped = true;
    this.#retry?.cancel();
  }

  #isMissing(): boolean {
    return this.#tokens.size + this.#removals.size + this.#inFlight.size + this.#writing > 0;
  }

  /** All in memory that the store had confirmed: first the removals, which refuse older tokens, then recent tokens. */
  *#known(): Generator<Missing, undefined> {
    const { cache, clock } = this.#options;
    const [now, wallNow] = [clock.monotonic(), clock.now()];
    yield* cache.removals();
    // A failover loses what was stored last.
    for (const isRecent of [true, false]) {
      for (const known of cache.tokens.confirmed(now, wallNow)) {
        const { id, generation, issuedAt } = known;
        if (issuedAt >= wallNow - RECENT_MS !== isRecent || this.hasRecordOf(id)) continue;
        // A later login has ended the token, but nobody may have its token any more.
        const suspect = known.suspect || cache.newestKnown(id) > generation;
        yield { id, generation, record: recordOf({ ...known, suspect }) };
      }
    }
    return undefined;
  }

  #remember(missing: Missing): void {
    const waiting = missing.record ? this.#tokens : this.#removals;
    // After an erasure, the account may have been logged out.
    const key = missing.how === 'erased' ? `erased ${missing.id}` : missing.id;
    const other = waiting.get(key);
    if (!other || other.generation < missing.generation) waiting.set(key, missing);
    const [oldest] = waiting.keys();
    if (oldest !== undefined && waiting.size > MAX_MISSING) waiting.delete(oldest);
  }

  /** While the store takes nothing, tries a new one alone: each would repeat the oldest 64. Then the others follow. */
  #add(missing: Missing): void {
    if (this.#retry && !this.#stopped) {
      void this.#write(missing).then((isAccepted) => {
        if (isAccepted) void this.#flush();
      });
    } else {
      this.#remember(missing);
      void this.#flush();
    }
  }

  async #flush(): Promise<void> {
    if (this.#flushing || this.#stopped) return;
    this.#flushing = true;
    let written = 0;
    for (let batch = this.#takeBatch(); batch.length > 0 && !this.#stopped; batch = this.#takeBatch()) {
      const results = await Promise.all(batch.map((missing) => this.#write(missing)));
      const accepted = results.filter(Boolean).length;
      written += accepted;
      if (accepted === 0) {
        this.#retryLater();
        break;
      }
    }
    this.#flushing = false;
    if (written > 0) this.#options.log.info({ written }, 'tokens, logouts and erasures were written back to the store');
  }

  #takeBatch(): Missing[] {
    const batch: Missing[] = [];
    for (const missing of this.#take()) {
      const { id, generation, record } = missing;
      // Memory does not know the session of a token that has waited.
      if (record && batch.some((other) => other.record && other.id === id && other.generation >= generation)) continue;
      if (!record || this.#options.clock.now() < servableUntil(record.token)) batch.push(missing);
      if (batch.length === BATCH_SIZE) break;
    }
    return batch;
  }

  /** First what has waited longest: if the store fails again, no more of what it has lost joins them. */
  *#take(): Generator<Missing> {
    for (const waiting of [this.#removals, this.#tokens]) {
      for (const [key, missing] of waiting) {
        waiting.delete(key);
        yield missing;
      }
    }
    for (let next = this.#lost?.next(); next && !next.done; next = this.#lost?.next()) yield next.value;
  }

  /** Returns whether the store has answered. Otherwise the write waits again, behind all others. */
  async #write(missing: Missing): Promise<boolean> {
    const { terminals, accounts } = this.#options;
    const { id, how = 'loggedout', generation, record, sessionIssuedAt } = missing;
    this.#writing += 1;
    try {
      if (record) await this.#restore(record, sessionIssuedAt);
      else if (isSubjectId(id)) await terminals.repeatRemoval(id, generation);
      else await accounts.repeatEnd(id, how, generation);
      return true;
    } catch {
      this.#remember(missing);
      return false;
    } finally {
      this.#writing -= 1;
    }
  }

  /** Writes a token as {@link write} does, and tells the store that it was read. */
  async #restore(record: TokenRecord, sessionIssuedAt: number | undefined): Promise<void> {
    const { terminals, policy, observer } = this.#options;
    const id = subjectId(record.subject);
    const outcome = await this.write(id, record, sessionIssuedAt);
    // Another replica may have restored it before, as unread. A token of a login by an app is never unread.
    if (outcome === 'saved' && record.read && record.unreadRenewals > 0) {
      await terminals.markRead(id, record.generation, dueAt(record, policy, id));
    }
    observer.wroteBack(outcome === 'saved' || outcome === 'suspect' ? 'saved' : 'outdated');
  }

  #retryLater(): void {
    if (this.#stopped) return;
    // A running timer stays as it is: under constant logins, a timer that starts anew each time would never end.
    this.#retry ??= this.#options.clock.setTimer(() => {
      this.#retry = undefined;
      void this.#flush();
    }, RETRY_MS);
  }
}
