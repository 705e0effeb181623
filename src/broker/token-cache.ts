import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import type { Announcement, SessionsEnd, StoredTerminal } from '../token/ports.ts';
import { refreshAt } from '../token/renewal-timing.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId, subjectId } from '../token/subject.ts';
import type { BrokerPorts } from './broker-ports.ts';
import { type CachedToken, CachedTokens, cachedToken, type RecordFacts } from './cached-tokens.ts';

/** How long an entry is fresh: while announcements arrive without a gap, and otherwise. */
const FRESH_ANNOUNCED_MS = 60_000;
const FRESH_UNANNOUNCED_MS = 2_000;
/** Maximum number of remembered announcements of tokens. They keep a late read from restoring an old token. */
const MAX_SAVED = 50_000;
/** Maximum number of remembered logouts, and of erasures. They are repeated if the store loses them. */
const MAX_REMOVED = 50_000;

/** An announced change of a subject or an account. */
interface Announced {
  readonly generation: number;
  /** By the monotonic clock. An earlier answer of the store may be older. */
  readonly at: number;
}

/** A logout of a terminal or of a whole account, or an erasure: tokens up to its generation are outdated. */
export interface Removal {
  readonly id: SubjectId | AccountId;
  readonly how: SessionsEnd;
  readonly generation: number;
}

export interface TokenCacheOptions extends Pick<BrokerPorts, 'announcements' | 'clock' | 'policy' | 'sessions'> {
  /** Maximum memory of the tokens. */
  readonly cacheMaxBytes: number;
}

/**
 * This replica's memory of tokens. A fresh entry is served without asking the store. A stale one stays until it is
 * dropped, as the answer during an outage of the store. An older token never replaces a newer one.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly tokens: CachedTokens;
  /** The newest token of each subject. */
  readonly #saved = lastOf<SubjectId>(MAX_SAVED);
  /** The last {@link Removal} of each kind. */
  readonly #loggedOut = lastOf<SubjectId | AccountId>(MAX_REMOVED);
  readonly #erased = lastOf<AccountId>(MAX_REMOVED);

  constructor(options: TokenCacheOptions) {
    this.#options = options;
    this.tokens = new CachedTokens(options.cacheMaxBytes);
    options.announcements.subscribe((announcement) => this.#onAnnouncement(announcement));
  }

  /** Returns the entry if it may be served without asking the store. @param now by the monotonic clock */
  getFresh(id: SubjectId, now: number): CachedToken | undefined {
    const entry = this.tokens.find(id);
    if (!entry || entry.isReplaced) return undefined;
    const freshMs = this.#isAnnounced(entry) ? FRESH_ANNOUNCED_MS : FRESH_UNANNOUNCED_MS;
    return now - entry.checkedAt < freshMs ? entry : undefined;
  }

  /**
   * Returns the own token if the store has a later one, of generation `unreadable`, that it cannot decrypt, and no
   * logout came since. A login would end the token of the other replica in turn.
   */
  ownBeside(id: SubjectId, unreadable: number): CachedToken | undefined {
    const entry = this.tokens.find(id);
    return entry && entry.generation < unreadable && this.#isAnnounced(entry) ? entry : undefined;
  }

  /** Adds a record of the subject `id`, unless memory has a newer one. Returns the newer entry. */
  put(record: TokenRecord, { checkedAt, sessionsEndedAt }: RecordFacts, id = subjectId(record.subject)): CachedToken {
    const isNewest = checkedAt > this.#announcedAt(id);
    const renewFrom = refreshAt(record, this.#options.policy, id);
    const knownErasure = isNewest ? sessionsEndedAt : latest(sessionsEndedAt, this.sessionsEndedAt(id));
    const entry = cachedToken(record, { id, checkedAt, sessionsEndedAt: knownErasure, renewFrom });
    if (isNewest || record.generation >= this.newestKnown(id)) return this.tokens.add(entry);
    // An outdated record is not kept, but memory may have a newer one.
    const known = this.tokens.peek(id);
    return known && known.generation > record.generation ? known : entry;
  }

  /** The ends that the store does not know, though announced before it was asked for `stored` (monotonic `askedAt`). */
  lostRemovals(id: SubjectId, stored: StoredTerminal, askedAt: number): readonly Removal[] {
    const account = accountOf(id);
    const { record, erasedAt = 0, loggedOutAt = 0 } = stored;
    const removal = (of: SubjectId | AccountId, how: SessionsEnd, known: Announced | undefined, isLost: boolean) =>
      known && askedAt > known.at && isLost ? [{ id: of, how, generation: known.generation }] : [];
    const [terminal, all, erasure] = [this.#loggedOut.get(id), this.#loggedOut.get(account), this.#erased.get(account)];
    return [
      ...removal(id, 'loggedout', terminal, record !== undefined && record.generation <= (terminal?.generation ?? 0)),
      ...removal(account, 'erased', erasure, erasedAt < (erasure?.generation ?? 0)),
      ...removal(account, 'loggedout', all, loggedOutAt < (all?.generation ?? 0)),
    ];
  }

  /** The logouts and erasures that this replica remembers. */
  *removals(): Generator<Removal> {
    for (const [id, { generation }] of [...this.#erased.entries()]) yield { id, how: 'erased', generation };
    for (const [id, { generation }] of [...this.#loggedOut.entries()]) yield { id, how: 'loggedout', generation };
  }

  /** Returns the account's last erasure (epoch ms) if this replica knows it. */
  erasedAt(id: SubjectId): number | undefined {
    return this.#erased.get(accountOf(id))?.generation;
  }

  /** Returns when the account's sessions were last ended (epoch ms) if this replica knows it. */
  sessionsEndedAt(id: SubjectId): number | undefined {
    return latest(this.tokens.peek(id)?.sessionsEndedAt, this.#endedUntil(accountOf(id)));
  }

  /** Returns the generation of the last logout or erasure of the subject that this replica knows of; 0 for none. */
  outdatedUntil(id: SubjectId): number {
    return Math.max(this.#loggedOut.get(id)?.generation ?? 0, this.#endedUntil(accountOf(id)));
  }

  #endedUntil(account: AccountId): number {
    return Math.max(this.#loggedOut.get(account)?.generation ?? 0, this.#erased.get(account)?.generation ?? 0);
  }

  /** Returns the generation of the last change of the subject that was announced; 0 for none. */
  newestKnown(id: SubjectId): number {
    return Math.max(this.#saved.get(id)?.generation ?? 0, this.outdatedUntil(id));
  }

  /** Replaces an entry, if there is one, by a newer token. `sessionsEndedAt`: the last end that the caller knows of. */
  renew(record: TokenRecord, id: SubjectId, checkedAt: number, sessionsEndedAt?: number): void {
    if (this.tokens.peek(id))
      this.put(record, { checkedAt, sessionsEndedAt: latest(sessionsEndedAt, this.sessionsEndedAt(id)) }, id);
  }

  /** Takes a logout of a terminal or account: removes tokens up to `generation`, and refuses older ones from now on. */
  loggedOut(id: SubjectId | AccountId, generation: number): void {
    this.tokens.remove(id, generation);
    note(this.#loggedOut, id, generation, this.#options.clock);
    this.#options.sessions.forget(accountOf(id));
  }

  /** Takes an erasure: removes the account's tokens up to `generation`, and refuses older ones from now on. */
  erased(account: AccountId, generation: number): void {
    this.tokens.remove(account, generation);
    note(this.#erased, account, generation, this.#options.clock);
    this.#options.sessions.forget(account);
  }

  /** Takes the ends of sessions that the store knows. An outage must not hide them, and the store may lose one. */
  learnEnds(id: SubjectId, { erasedAt = 0, loggedOutAt = 0 }: StoredTerminal): void {
    const account = accountOf(id);
    if ((this.#erased.get(account)?.generation ?? 0) < erasedAt) this.erased(account, erasedAt);
    if ((this.#loggedOut.get(account)?.generation ?? 0) < loggedOutAt) this.loggedOut(account, loggedOutAt);
  }

  #onAnnouncement(announcement: Announcement): void {
    switch (announcement.kind) {
      case 'erased':
        this.erased(announcement.account, announcement.generation);
        break;
      case 'loggedout':
        this.loggedOut(announcement.account, announcement.generation);
        break;
      case 'removed':
        this.loggedOut(announcement.id, announcement.generation);
        break;
      case 'saved':
        note(this.#saved, announcement.id, announcement.generation, this.#options.clock);
        this.tokens.invalidate(announcement.id, announcement.generation);
        break;
      case 'suspected':
        // The store knows more of the same generation.
        this.tokens.invalidate(announcement.id, announcement.generation + 1);
    }
  }

  /** Whether no announcement was missed since the store confirmed the token. */
  #isAnnounced({ checkedAt }: CachedToken): boolean {
    return checkedAt >= (this.#options.announcements.completeSince() ?? Number.POSITIVE_INFINITY);
  }

  /** When the last change of the subject or its account was announced, by the monotonic clock. */
  #announcedAt(id: SubjectId): number {
    const at = (change: Announced | undefined) => change?.at ?? Number.NEGATIVE_INFINITY;
    const account = accountOf(id);
    const ofAccount = Math.max(at(this.#loggedOut.get(account)), at(this.#erased.get(account)));
    return Math.max(at(this.#saved.get(id)), at(this.#loggedOut.get(id)), ofAccount);
  }
}

/** Remembers the last `most` announcements. With `max`, it would take the memory for all of them at once. */
function lastOf<Id extends string>(most: number): LRUCache<Id, Announced> {
  return new LRUCache({ maxSize: most, sizeCalculation: () => 1 });
}

/** Notes that a change is announced now. */
function note<Id extends string>(known: LRUCache<Id, Announced>, id: Id, generation: number, clock: Clock): void {
  known.set(id, { generation: Math.max(generation, known.get(id)?.generation ?? 0), at: clock.monotonic() });
}

/** The later of two times; `undefined` and 0 stand for none. */
function latest(one: number | undefined, other: number | undefined): number | undefined {
  return Math.max(one ?? 0, other ?? 0) || undefined;
}
