import type { Clock } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import type { Observer, ReadOutcome, RenewalCause } from '../token/observer.ts';
import type { TerminalStore } from '../token/ports.ts';
import type { Soon } from '../token/principal.ts';
import { type RefreshPolicy, servableUntil, waitFrom } from '../token/renewal-timing.ts';
import { type ServedToken, serveToken, type TokenRecord } from '../token/sdk-token.ts';
import { type SubjectId, subjectId } from '../token/subject.ts';
import { raceTimeout } from '../token/time-budget.ts';
import type { Renewal } from './renewal.ts';
import { isErased, type ReadRequest, refuseErased } from './requests.ts';
import type { CachedToken, TokenCache } from './token-cache.ts';

/** Most ms a read waits for a renewal while the token it has is still good. */
const PATIENCE_MS = 2_000;
/** How long a read leaves a renewal alone that it has just asked for. */
const PAUSE_MS = 1_000;

export interface TokenBrokerOptions {
  readonly terminals: TerminalStore;
  readonly cache: TokenCache;
  readonly renewal: Renewal;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
  readonly defaultRegion: string | undefined;
}

/** What is known of a terminal, from memory or the store. */
interface LookupResult {
  readonly entry: CachedToken | undefined;
  readonly source: 'memory' | 'redis';
  readonly erasedAt: number | undefined;
}

/** What a read is answered with, and where it came from. */
interface ReadResult {
  readonly entry: CachedToken;
  readonly outcome: ReadOutcome;
}

/** Answers an app: from memory, from the store, or from a renewal. */
export class TokenBroker {
  readonly #options: TokenBrokerOptions;
  readonly #lookUps = new Map<SubjectId, Promise<LookupResult>>();

  constructor(options: TokenBrokerOptions) {
    this.#options = options;
  }

  /**
   * A token that may be used now: never one past its margin, and the one already held whenever a renewal fails. In
   * place of a refused token the one that has replaced it, or a new one.
   * @throws BrokerError `session_invalid` when the account was erased since the session was issued, else what the
   *   renewal throws
   */
  read(request: ReadRequest): Soon<ServedToken> {
    const { subject, id = subjectId(subject) } = request;
    const now = this.#options.clock.now();
    const remembered = request.refused === undefined ? this.remembered(id, request.sessionIssuedAt, now) : undefined;
    return remembered ? this.handOut(id, remembered, now) : this.#readOrRenew(id, request);
  }

  /**
   * The token that {@link read} answers with from memory alone: it is fresh, and believed without asking anybody. To be
   * handed out by {@link handOut}, if it is.
   * @param sessionIssuedAt epoch ms; `undefined` where the session does not say
   */
  remembered(id: SubjectId, sessionIssuedAt: number | undefined, now: number): CachedToken | undefined {
    const entry = this.#options.cache.getStale(id);
    return entry && this.mayHandOut(entry, sessionIssuedAt, now) ? entry : undefined;
  }

  /** Whether an entry found in memory may be handed out now: what {@link remembered} asks of those it finds. */
  mayHandOut(entry: CachedToken, sessionIssuedAt: number | undefined, now: number): boolean {
    return (
      now < entry.freshUntil &&
      this.#options.cache.isFresh(entry, now) &&
      !isErased({ sessionIssuedAt }, entry.erasedAt)
    );
  }

  /** Notes that a token is handed out. @param entry what {@link remembered} found */
  handOut(id: SubjectId, entry: CachedToken, now: number, outcome: ReadOutcome = 'memory'): ServedToken {
    this.#options.observer.tokenServed(outcome, entry.served.record.token.expiresAt - now);
    if (!entry.markedRead) this.#markRead(id, entry);
    return entry.served;
  }

  async #readOrRenew(id: SubjectId, request: ReadRequest): Promise<ServedToken> {
    try {
      const { entry, outcome } = await this.#find(id, request);
      return this.handOut(id, entry, this.#options.clock.now(), outcome);
    } catch (error) {
      this.#options.observer.readFailed(error);
      throw error;
    }
  }

  async #find(id: SubjectId, request: ReadRequest): Promise<ReadResult> {
    const lookup = await this.#lookUp(id, request.refused !== undefined);
    refuseErased(request, lookup.erasedAt);
    const { clock, policy } = this.#options;
    const { entry, source: outcome } = lookup;
    const now = clock.now();
    if (!entry || now >= servableUntil(entry.served.record.token)) {
      return this.#renew(id, request, 'new', { ...lookup, entry: undefined });
    }
    if (request.refused !== undefined) {
      return entry.served.etag === request.refused ? this.#renew(id, request, 'refused', lookup) : { entry, outcome };
    }
    if (now < entry.freshUntil) return { entry, outcome };
    const renewal = this.#renew(id, request, 'due', lookup);
    if (policy.mode === 'proactive' && now < waitFrom(entry.served.record.token)) {
      entry.freshUntil = now + PAUSE_MS;
      renewal.catch(() => undefined);
      return { entry, outcome };
    }
    return this.#renewedOr(entry, renewal);
  }

  /** The renewed token, or the old one if that takes too long or fails while the old one is still good. */
  async #renewedOr(entry: CachedToken, renewal: Promise<ReadResult>): Promise<ReadResult> {
    const { clock } = this.#options;
    const until = servableUntil(entry.served.record.token);
    const patienceMs = Math.min(PATIENCE_MS, Math.max(0, until - clock.now()));
    const renewed = await raceTimeout(
      patienceMs,
      renewal.catch(() => undefined),
    );
    if (renewed) return renewed;
    const now = clock.now();
    if (now >= until) return renewal;
    entry.freshUntil = Math.min(until, now + PAUSE_MS);
    return { entry, outcome: 'fallback' };
  }

  async #renew(id: SubjectId, request: ReadRequest, cause: RenewalCause, { entry }: LookupResult): Promise<ReadResult> {
    const { clock, renewal, cache, defaultRegion } = this.#options;
    const { subject, refused, sessionIssuedAt, region = defaultRegion } = request;
    const known = entry?.served.record;
    const satisfies = (record: TokenRecord) =>
      cause === 'refused'
        ? serveToken(record).etag !== refused && clock.now() < servableUntil(record.token)
        : record.generation > (known?.generation ?? 0) && clock.now() < waitFrom(record.token);
    const startedAt = clock.now();
    const renewed = await renewal.renew({ id, subject, region, known, cause, sessionIssuedAt, satisfies });
    refuseErased(request, renewed.erasedAt);
    return { entry: cache.put(renewed.record, startedAt, renewed.erasedAt, id), outcome: renewed.outcome };
  }

  /** What is known, the store asked once for all who want to know at a time; what is kept in memory when it cannot say. */
  #lookUp(id: SubjectId, anew: boolean): Promise<LookupResult> {
    const { cache, clock } = this.#options;
    const trusted = anew ? undefined : cache.getFresh(id, clock.now());
    if (trusted) return Promise.resolve({ entry: trusted, erasedAt: trusted.erasedAt, source: 'memory' });
    const underWay = this.#lookUps.get(id);
    if (underWay) return underWay;
    const lookUp = this.#askStore(id);
    this.#lookUps.set(id, lookUp);
    return lookUp;
  }

  async #askStore(id: SubjectId): Promise<LookupResult> {
    const { terminals, cache, clock, log } = this.#options;
    const askedAt = clock.now();
    try {
      const { record, erasedAt } = await terminals.read(id);
      if (record) return { entry: cache.put(record, askedAt, erasedAt, id), erasedAt, source: 'redis' };
      cache.forget(id);
      return { entry: undefined, erasedAt, source: 'redis' };
    } catch (error) {
      const kept = cache.getStale(id);
      if (kept && clock.now() < servableUntil(kept.served.record.token)) {
        return { entry: kept, erasedAt: cache.erasedAt(id), source: 'memory' };
      }
      // What cannot be known counts as unknown: the renewal decides whether a login without the store is worth it.
      log.debug({ subject: id, err: error }, 'the store cannot say whether there is a token');
      return { entry: undefined, erasedAt: cache.erasedAt(id), source: 'memory' };
    } finally {
      this.#lookUps.delete(id);
    }
  }

  /** Only what nobody asked for is not yet known to be read. */
  #markRead(id: SubjectId, entry: CachedToken): void {
    const { terminals, log, observer } = this.#options;
    entry.markedRead = true;
    terminals.markRead(id, entry.served.record.generation).then(
      (wasFirst) => wasFirst && observer.backgroundRenewalRead(),
      (error: unknown) => {
        entry.markedRead = false;
        log.debug({ subject: id, err: error }, 'a read could not be noted');
      },
    );
  }
}
