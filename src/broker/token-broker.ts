import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import { servableUntil, waitFrom } from '../token/lifetime.ts';
import type { Log } from '../token/log.ts';
import type { TokenStore } from '../token/ports.ts';
import type { RefreshPolicy } from '../token/refresh-policy.ts';
import type { ServedToken, TokenRecord } from '../token/sdk-token.ts';
import { type Subject, type SubjectId, subjectId } from '../token/subject.ts';
import type { Renewal } from './renewal.ts';
import type { CachedToken, TokenCache } from './token-cache.ts';
import { within } from './within.ts';

/** Most ms a read waits for a renewal while the token it has is still good. */
const PATIENCE_MS = 2_000;
/** How long a read leaves a renewal alone that it has just asked for. */
const PAUSE_MS = 1_000;

export interface TokenBrokerOptions {
  readonly store: TokenStore;
  readonly cache: TokenCache;
  readonly renewal: Renewal;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly defaultRegion: string | undefined;
}

/** Answers an app: from memory, from the store, or from a renewal. */
export class TokenBroker {
  readonly #options: TokenBrokerOptions;
  readonly #lookUps = new Map<SubjectId, Promise<CachedToken | undefined>>();

  constructor(options: TokenBrokerOptions) {
    this.#options = options;
  }

  /**
   * A token that may be used now: never one past its margin, and the one already held whenever a renewal fails.
   * @param region where the account lives, if the session or the app say so; needed for a login alone
   * @throws BrokerError `request_invalid` when a login needs a region and none is known, else what the renewal throws
   */
  async read(subject: Subject, region: string | undefined): Promise<ServedToken> {
    const id = subjectId(subject);
    const now = this.#options.clock.now();
    const trusted = this.#options.cache.trusted(id, now);
    if (trusted && now < trusted.freshUntil) return this.#serve(id, trusted);
    return this.#serve(id, await this.#find(id, subject, region));
  }

  async #find(id: SubjectId, subject: Subject, region: string | undefined): Promise<CachedToken> {
    const entry = await this.#lookUp(id);
    const now = this.#options.clock.now();
    const record = entry?.served.record;
    if (!entry || !record || now >= servableUntil(record.token)) return this.#renew(id, subject, region, undefined);
    if (now < entry.freshUntil) return entry;
    const renewal = this.#renew(id, subject, record.region, record);
    if (this.#options.policy.mode === 'proactive' && now < waitFrom(record.token)) {
      entry.freshUntil = now + PAUSE_MS;
      renewal.catch(() => undefined);
      return entry;
    }
    return this.#renewedOr(entry, renewal);
  }

  /** The renewed token, or the old one if that takes too long or fails while the old one is still good. */
  async #renewedOr(entry: CachedToken, renewal: Promise<CachedToken>): Promise<CachedToken> {
    const { clock } = this.#options;
    const until = servableUntil(entry.served.record.token);
    const patienceMs = Math.min(PATIENCE_MS, Math.max(0, until - clock.now()));
    const renewed = await within(
      patienceMs,
      renewal.catch(() => undefined),
    );
    if (renewed) return renewed;
    const now = clock.now();
    if (now >= until) return renewal;
    entry.freshUntil = Math.min(until, now + PAUSE_MS);
    return entry;
  }

  async #renew(
    id: SubjectId,
    subject: Subject,
    region: string | undefined,
    known: TokenRecord | undefined,
  ): Promise<CachedToken> {
    const { clock, renewal, cache, defaultRegion } = this.#options;
    const country = region ?? defaultRegion;
    if (!country) {
      throw new BrokerError('request_invalid', {
        detail:
          'regRegion: the country of the account is not known; give it as two capital letters (ISO 3166-1), e.g. CN',
      });
    }
    const satisfies = (record: TokenRecord) =>
      record.generation > (known?.generation ?? 0) && clock.now() < waitFrom(record.token);
    const startedAt = clock.now();
    const record = await renewal.renew({ id, subject, region: country, known, askedFor: true, satisfies });
    if (!record) throw new BrokerError('internal');
    return cache.put(record, startedAt);
  }

  /** What the store holds, asked once for all who want to know at a time; what is kept in memory when it cannot say. */
  #lookUp(id: SubjectId): Promise<CachedToken | undefined> {
    const { cache, clock } = this.#options;
    const trusted = cache.trusted(id, clock.now());
    if (trusted) return Promise.resolve(trusted);
    const underWay = this.#lookUps.get(id);
    if (underWay) return underWay;
    const lookUp = this.#askStore(id).finally(() => this.#lookUps.delete(id));
    this.#lookUps.set(id, lookUp);
    return lookUp;
  }

  async #askStore(id: SubjectId): Promise<CachedToken | undefined> {
    const { store, cache, clock } = this.#options;
    const askedAt = clock.now();
    try {
      const record = await store.read(id);
      if (record) return cache.put(record, askedAt);
      cache.forget(id);
      return undefined;
    } catch (error) {
      const kept = cache.kept(id);
      if (kept && clock.now() < servableUntil(kept.served.record.token)) return kept;
      throw error;
    }
  }

  #serve(id: SubjectId, entry: CachedToken): ServedToken {
    if (!entry.markedRead) {
      entry.markedRead = true;
      this.#options.store.markRead(id, entry.served.record.generation).catch((error: unknown) => {
        entry.markedRead = false;
        this.#options.log.debug({ subject: id, err: error }, 'a read could not be noted');
      });
    }
    return entry.served;
  }
}
