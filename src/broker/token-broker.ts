import { sleep, withTimeout } from '../token/clock.ts';
import { BrokerError, tokensEndedBy } from '../token/errors.ts';
import type { Urgency } from '../token/login-queue.ts';
import type { ReadOutcome, RenewalCause } from '../token/observer.ts';
import type { StoredTerminal } from '../token/ports.ts';
import { dueOnceRead, replacedValidToken, servableUntil, waitFrom } from '../token/renewal-timing.ts';
import { type ServedToken, serveToken, type TokenRecord } from '../token/sdk-token.ts';
import { accountOf, type SubjectId, subjectId } from '../token/subject.ts';
import type { BrokerPorts } from './broker-ports.ts';
import { type CachedToken, cachedToken, type RecordFacts, recordOf } from './cached-tokens.ts';
import type { Renewal } from './renewal.ts';
import { type ReadRequest, refuseEnded, sessionsEndIn } from './requests.ts';
import type { TokenCache } from './token-cache.ts';
import type { WriteBack } from './write-back.ts';

/** Longest wait of a read for a renewal while its token is still valid. */
const RENEWAL_WAIT_MS = 2_000;
/** A read stops waiting so long before its token may no longer be served. */
const FALL_BACK_MS = 100;
/** After a read has started a renewal, reads start no other one for this long. */
const RENEWAL_PAUSE_MS = 1_000;
/** This replica's own logins bring their tokens into memory in less time than this after their announcement. */
const REPLACED_AFTER_MS = 100;
/** The store remembers each logout for twice this long. */
const LOGOUT_KNOWN_MS = 1_800_000;

type ReadPorts = 'terminals' | 'announcements' | 'policy' | 'clock' | 'log' | 'observer' | 'defaultRegion';

export interface TokenBrokerOptions extends Pick<BrokerPorts, ReadPorts> {
  readonly cache: TokenCache;
  readonly renewal: Renewal;
  readonly writeBack: WriteBack;
}

/** The state of a terminal according to memory or the store. */
interface LookupResult {
  readonly entry: CachedToken | undefined;
  readonly outcome: 'memory' | 'redis';
  readonly sessionsEndedAt: number | undefined;
}

interface ReadResult {
  readonly entry: CachedToken;
  readonly outcome: ReadOutcome;
}

export type TokenBroker = ReturnType<typeof createTokenBroker>;

/** Reads tokens: from memory, from the store, or by a renewal. */
export function createTokenBroker(options: TokenBrokerOptions) {
  const { cache, clock, observer, policy, renewal, defaultRegion, terminals, writeBack, log } = options;
  /** The generations of announced tokens that were newer than those in memory: at most one for each terminal. */
  const replacedTokens = new Map<SubjectId, number>();
  let readsReplaced = false;
  options.announcements.subscribe((announcement) => {
    if (announcement.kind !== 'saved') return;
    const { id, generation } = announcement;
    if (!hasOlder(id, generation)) return;
    replacedTokens.set(id, generation);
    if (!readsReplaced) void readReplaced();
  });
  return { read };

  /**
   * Returns a usable token, never one past {@link servableUntil}, at once if memory alone can answer. A failed renewal
   * takes no valid token away, unless it shows that the token has ended ({@link tokensEndedBy}). For a refused token,
   * returns its replacement.
   * @throws BrokerError `session_invalid` if the account was erased after the session was issued, or the renewal's
   * error
   */
  async function read(request: ReadRequest): Promise<ServedToken> {
    const { subject, id = subjectId(subject), refused } = request;
    try {
      const now = clock.monotonic();
      const fresh = refused === undefined ? cache.getFresh(id, now) : undefined;
      const lookup: LookupResult = fresh
        ? { entry: fresh, sessionsEndedAt: fresh.sessionsEndedAt, outcome: 'memory' }
        : await lookUp(id, now);
      const result = resultOf(lookup, id, request);
      const { entry, outcome } = result instanceof Promise ? await result : result;
      const isEnded = refused !== undefined && replacedValidToken(entry, policy, clock.now());
      observer.tokenServed(outcome, entry.expiresAt - clock.now(), isEnded ? accountOf(id) : undefined);
      if (!entry.read && cache.tokens.setRead(id, entry.generation, true)) markRead(id, recordOf(entry));
      return entry;
    } catch (error) {
      observer.readFailed(error, accountOf(id));
      throw error;
    }
  }

  function resultOf(lookup: LookupResult, id: SubjectId, request: ReadRequest): ReadResult | Promise<ReadResult> {
    const { entry, sessionsEndedAt, outcome } = lookup;
    refuseEnded(request, sessionsEndedAt);
    const now = clock.now();
    if (!entry || now >= servableUntil(entry)) return renewed(id, request, 'new', undefined);
    if (request.refused !== undefined) {
      return entry.etag === request.refused ? renewed(id, request, 'refused', entry) : { entry, outcome };
    }
    if (now < entry.renewFrom) return { entry, outcome };
    const isAwaited = policy.mode !== 'proactive' || entry.suspect || now >= waitFrom(entry);
    const renewal = renewed(id, request, 'due', entry, isAwaited ? 'foreground' : 'background');
    if (!isAwaited) {
      cache.tokens.setRenewFrom(id, entry.generation, Math.min(waitFrom(entry), now + RENEWAL_PAUSE_MS));
      renewal.catch(() => undefined);
      return { entry, outcome };
    }
    return waitOrFallBack(id, entry, renewal);
  }

  /**
   * Returns the renewed token, or the old one if the renewal fails or takes too long while the old one is valid.
   * @throws BrokerError the error of the renewal, if the old token is not valid any more, or was logged out meanwhile
   */
  async function waitOrFallBack(id: SubjectId, entry: CachedToken, renewal: Promise<ReadResult>): Promise<ReadResult> {
    const { generation } = entry;
    const until = servableUntil(entry);
    const succeeded = renewal.catch((error: unknown) => {
      if (hasEndedToken(error)) throw error;
      return undefined;
    });
    const waitMs = Math.max(0, Math.min(RENEWAL_WAIT_MS, until - clock.now() - FALL_BACK_MS));
    const renewed = await withTimeout(clock, waitMs, succeeded);
    if (renewed) return renewed;
    const now = clock.now();
    if (now >= until || cache.outdatedUntil(id) >= generation) return renewal;
    cache.tokens.setRenewFrom(id, generation, Math.min(until, now + RENEWAL_PAUSE_MS));
    return { entry, outcome: 'fallback' };
  }

  async function renewed(
    id: SubjectId,
    request: ReadRequest,
    cause: RenewalCause,
    entry: CachedToken | undefined,
    urgency: Urgency = 'foreground',
  ): Promise<ReadResult> {
    const { subject, refused, sessionIssuedAt, region = defaultRegion, requestId } = request;
    const known = entry && recordOf(entry);
    const isUsable = ({ token }: TokenRecord) =>
      clock.now() < (cause === 'refused' ? servableUntil(token) : waitFrom(token));
    const isNewer = (record: TokenRecord) =>
      record.generation > (known?.generation ?? 0) && (refused === undefined || serveToken(record).etag !== refused);
    const satisfies = (record: TokenRecord) => isNewer(record) && !record.suspect && isUsable(record);
    try {
      const wanted = { id, subject, region, known, cause, urgency, sessionIssuedAt, requestId, satisfies };
      const renewed = await renewal.renew(wanted);
      const { record, outcome } = renewed;
      refuseEnded(request, renewed.sessionsEndedAt);
      const cached = cache.put(record, renewed, id);
      // Memory may have a newer token by now, but one that is refused or past its margin.
      return { entry: satisfies(recordOf(cached)) ? cached : cachedToken(record, cached), outcome };
    } catch (error) {
      if (hasEndedToken(error)) {
        // An erasure or a logout may not have been announced, nor, during an outage, a token that the vendor has ended.
        if (known) cache.tokens.remove(id, known.generation);
        throw error;
      }
      // Memory may have another token by now. A mistake of the broker must not stay unseen.
      const entry = error instanceof BrokerError ? cache.tokens.find(id) : undefined;
      const found = entry && recordOf(entry);
      if (!found || !isNewer(found) || clock.now() >= servableUntil(entry)) throw error;
      refuseEnded(request, cache.sessionsEndedAt(id));
      return { entry, outcome: satisfies(found) ? 'waited' : 'fallback' };
    }
  }

  /**
   * Reads the store. If the store fails, returns what memory has: an error is never an absence. If memory knows of a
   * newer token, logout or erasure, the store has lost it, and gets it back.
   * @param checkedAt the time of this question, by the monotonic clock
   */
  async function lookUp(id: SubjectId, checkedAt: number): Promise<LookupResult> {
    try {
      const stored = await terminals.read(id);
      cache.learnEnds(id, stored);
      const { record, sessionsEndedAt } = withLostRemovals(id, stored, checkedAt);
      const own = cache.ownBeside(id, stored.unreadable ?? 0);
      if (own) return { entry: own, sessionsEndedAt, outcome: 'memory' };
      const facts = { checkedAt, sessionsEndedAt };
      const entry = record ? cache.put(record, facts, id) : await restore(id, facts);
      const isNewer = record && entry && entry.generation > record.generation;
      if (isNewer && !writeBack.hasRecordOf(id)) writeBack.add(recordOf(entry));
      return { entry, sessionsEndedAt, outcome: 'redis' };
    } catch (error) {
      log.debug({ subject: id, err: error }, 'the store could not be asked for a token');
      return { entry: cache.tokens.find(id), sessionsEndedAt: cache.sessionsEndedAt(id), outcome: 'memory' };
    }
  }

  /** Reads the newer tokens of tokens in memory: if the store fails later, memory has those that the vendor takes. */
  async function readReplaced(): Promise<void> {
    readsReplaced = true;
    while (replacedTokens.size > 0) {
      await sleep(clock, REPLACED_AFTER_MS);
      const announced = [...replacedTokens];
      replacedTokens.clear();
      for (const [id, generation] of announced) {
        if (!hasOlder(id, generation)) continue;
        await lookUp(id, clock.monotonic());
        // A store that is down refuses each read at once: a long list would block the event loop.
        await new Promise<void>((resolve) => clock.nextTurn(resolve));
      }
    }
    readsReplaced = false;
  }

  function hasOlder(id: SubjectId, generation: number): boolean {
    const known = cache.tokens.peek(id);
    return known !== undefined && known.generation < generation;
  }

  /** Corrects an answer of a store that has lost a logout or an erasure. The store gets them back. */
  function withLostRemovals(id: SubjectId, stored: StoredTerminal, checkedAt: number) {
    const { record } = stored;
    const lost = cache.lostRemovals(id, stored, checkedAt);
    if (lost.length === 0) return { record, sessionsEndedAt: sessionsEndIn(stored) };
    for (const removal of lost) writeBack.repeatRemoval(removal);
    const isOutdated = (record?.generation ?? 0) <= cache.outdatedUntil(id);
    return { record: isOutdated ? undefined : record, sessionsEndedAt: cache.sessionsEndedAt(id) };
  }

  /** After a logout, the store refuses to have the token of memory back. After a loss of its data, it takes it. */
  async function restore(id: SubjectId, facts: RecordFacts): Promise<CachedToken | undefined> {
    const write = writeBack.writeOf(id);
    if (write) {
      // Another read asks the store whether it knows a logout.
      await write.catch(() => undefined);
      return cache.tokens.find(id);
    }
    const known = cache.tokens.find(id);
    if (!known || writeBack.hasRecordOf(id)) return known;
    const record = recordOf(known);
    const confirmedMs = known.isReplaced ? Number.POSITIVE_INFINITY : clock.monotonic() - known.checkedAt;
    const ageMs = Math.min(confirmedMs, (terminals.clockFor(id) ?? 0) - record.generation);
    if (clock.now() < servableUntil(record.token) && ageMs < LOGOUT_KNOWN_MS) {
      const outcome = await writeBack.write(id, record);
      const isStored = outcome === 'saved' || outcome === 'suspect';
      observer.wroteBack(isStored ? 'saved' : 'outdated');
      if (isStored) {
        const entry = cache.put({ ...record, suspect: outcome === 'suspect' }, facts, id);
        // Another replica may have restored it before, as unread. The caller does not wait for that.
        if (record.read && record.unreadRenewals > 0) markRead(id, record);
        return entry;
      }
    }
    cache.tokens.remove(id);
    return undefined;
  }

  /** Stores the first read of a background token, so that a worker renews it again. If it fails, the next read does. */
  function markRead(id: SubjectId, record: TokenRecord): void {
    terminals.markRead(id, record.generation, dueOnceRead(record, policy, id)).catch((error: unknown) => {
      cache.tokens.setRead(id, record.generation, false);
      log.debug({ subject: id, err: error }, 'the read of a token could not be stored');
    });
  }
}

/** An erasure, a logout, or the vendor has ended the token. */
function hasEndedToken(error: unknown): boolean {
  return error instanceof BrokerError && tokensEndedBy(error.code) !== undefined;
}
