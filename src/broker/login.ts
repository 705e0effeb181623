import { StoreTimeout } from '../token/clock.ts';
import { BrokerError, LoginNotSent, tokensEndedBy } from '../token/errors.ts';
import type { Lease, SaveOutcome } from '../token/ports.ts';
import { dueAt, dueOnceRead, isRenewedInBackground, waitFrom } from '../token/renewal-timing.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import { type Subject, type SubjectId, subjectId } from '../token/subject.ts';
import type { BrokerPorts } from './broker-ports.ts';
import { recordOf } from './cached-tokens.ts';
import {
  type GrantedLease,
  isCounted,
  type LeasedLogins,
  type LeasedLoginsOptions,
  type LoginSteps,
  loggedOutMeanwhile,
  STORE_WAIT_MS,
} from './leased-logins.ts';
import { type RenewalRequest, type Renewed, refuseEnded, sessionsEndIn } from './requests.ts';
import type { WriteBack } from './write-back.ts';

export const REGION_NEEDED =
  'regRegion: the country of the account is not known; give it as two capital letters (ISO 3166-1), e.g. CN';

/** Largest expected difference between the clocks of a replica and of a store that has never answered it. */
const CLOCK_TOLERANCE_MS = 5_000;

export interface TokenLoginOptions extends LeasedLoginsOptions, Pick<BrokerPorts, 'accounts' | 'vendor'> {
  readonly writeBack: WriteBack;
}

/** The facts that a login starts from. */
interface LoginStart extends Pick<GrantedLease, 'current' | 'region' | 'sessionsEndedAt' | 'storeTimeout'> {
  /** `undefined`: the store could not be asked for one. */
  readonly lease: Lease | undefined;
}

/** The steps by which a request gets a token. Every token comes into being here. Errors: see `Renewal.renew`. */
export function loginSteps(options: TokenLoginOptions, logins: LeasedLogins<Renewed>) {
  const { cache, clock, vendor, limits, policy, observer, terminals, writeBack, log, accounts } = options;
  return (request: RenewalRequest): LoginSteps<Renewed> => ({
    underLease: (granted) => underLease(request, granted),
    withoutLease: (storeError) => withoutLease(request, storeError),
    stored: () => tokenOfOther(request),
  });

  async function underLease(request: RenewalRequest, granted: GrantedLease): Promise<Renewed | undefined> {
    const { lease, current, sessionsEndedAt } = granted;
    if (current && request.satisfies(current)) {
      // An app gets this token now. Another app may have read it since the lease was granted.
      await logins.release(granted, dueOnceRead(current, policy, lease.id));
      return { record: current, outcome: 'waited', checkedAt: Number.NEGATIVE_INFINITY, sessionsEndedAt };
    }
    try {
      return await logins.holding(request, granted, () => logInAndWrite(request, granted));
    } catch (error) {
      const isClosed = error instanceof BrokerError && tokensEndedBy(error.code) === 'account';
      if (isClosed) await granted.storeTimeout.wait(removeTokens(lease.id, request.subject));
      throw error;
    }
  }

  /**
   * Logs in while the store cannot be asked for a lease, so another replica may log in too. It takes its place from
   * this replica's share of the budget. Only for requests that cannot wait for the store, and that memory does not
   * satisfy.
   * @param storeError thrown when the request can wait for the store
   * @returns `undefined` when another login has got in between: the request needs a lease
   */
  async function withoutLease(request: RenewalRequest, storeError: unknown): Promise<Renewed | undefined> {
    const { id, known, cause } = request;
    const inMemory = tokenInMemory(request);
    if (inMemory) return inMemory;
    const isDue = cause === 'due' && known && !known.suspect && clock.now() < waitFrom(known.token);
    // The country of a token that has ended still applies: it was pinned at the account's first login.
    const entry = known ? undefined : cache.tokens.find(id);
    const region = (known ?? (entry && recordOf(entry)))?.region;
    if (isDue || !(region ?? request.region)) throw storeError;
    try {
      return await logInAndWrite(request, {
        lease: undefined,
        current: known,
        region,
        sessionsEndedAt: cache.sessionsEndedAt(id),
        storeTimeout: new StoreTimeout(clock, STORE_WAIT_MS),
      });
    } catch (error) {
      if (error instanceof LoginNotSent) return tokenInMemory(request);
      throw error;
    }
  }

  /** A token that will do, brought into memory by another request while this one waited for the store or its place. */
  function tokenInMemory({ id, satisfies }: RenewalRequest): Renewed | undefined {
    const entry = cache.tokens.find(id);
    const record = entry && recordOf(entry);
    if (!record || !satisfies(record)) return undefined;
    return {
      record,
      outcome: 'waited',
      checkedAt: Number.NEGATIVE_INFINITY,
      sessionsEndedAt: cache.sessionsEndedAt(id),
    };
  }

  async function logInAndWrite(request: RenewalRequest, start: LoginStart): Promise<Renewed | undefined> {
    const { loginBudgetMs: budgetMs } = options;
    const { id, subject, cause, urgency, requestId } = request;
    const { lease, current, storeTimeout, sessionsEndedAt } = start;
    const isByApp = cause !== 'background';
    if (isByApp) refuseEnded(request, sessionsEndedAt);
    const region = start.region ?? request.region;
    if (!region) throw new BrokerError('request_invalid', { detail: REGION_NEEDED });
    if (lease && isCounted(cause)) await limits.admit(id, cause, storeTimeout);
    // A logout or an erasure that comes during the login is later.
    const generationAtStart = lease?.generation ?? generationNow(request);
    let generation: number | undefined;
    let isOutdated = false;
    const mayBeSent = (): boolean => {
      generation ??= lease ? lease.generation : generationOnceSent(request, generationAtStart);
      isOutdated = generation <= cache.outdatedUntil(id);
      if (isOutdated) return false;
      return lease ? logins.isHeld(lease) : !tokenInMemory(request);
    };
    const chosen = lease ? urgency : 'foreground';
    const sent = vendor.login({ subject, region, budgetMs, urgency: chosen, mayBeSent, requestId });
    const token = await sent.catch((error: unknown) => {
      if (!isOutdated) throw error;
      if (lease && isCounted(cause) && error instanceof LoginNotSent) void limits.giveBack(id, cause);
      return refuseOutdated(request);
    });
    generation ??= generationAtStart;
    const record = {
      subject,
      region,
      token,
      generation,
      answeredAt: Math.max(generation, storeTime(id, CLOCK_TOLERANCE_MS)),
      read: isByApp,
      unreadRenewals: isByApp ? 0 : (current?.read === false ? current.unreadRenewals : 0) + 1,
      suspect: false,
    };
    return writeToken(request, start, record);
  }

  async function writeToken(
    request: RenewalRequest,
    start: LoginStart,
    record: TokenRecord,
  ): Promise<Renewed | undefined> {
    const { id } = request;
    // A write without a lease does not say when the sessions were ended. So the next read asks the store.
    const askedAt = start.lease ? clock.monotonic() : Number.NEGATIVE_INFINITY;
    const saving = save(request, start.lease, record);
    const outcome = await start.storeTimeout.wait(saving);
    // The store has not answered in time. The app gets the token now; if the store refuses it later, memory forgets it.
    if (outcome === undefined)
      void saving.then((late) => isRefusal(late) && cache.tokens.remove(id, record.generation));
    if (outcome === 'outdated' || record.generation <= cache.outdatedUntil(id)) {
      cache.tokens.remove(id, record.generation);
      return refuseOutdated(request);
    }
    switch (outcome) {
      case 'saved':
      case 'suspect':
        return obtained(request, start, { ...record, suspect: outcome === 'suspect' }, askedAt);
      case 'write_back':
      case undefined:
        return obtained(request, start, record, Number.NEGATIVE_INFINITY);
      case 'terminal_limit':
        throw new BrokerError('terminal_limit');
      case 'lease_lost':
        return undefined;
      case 'superseded':
        return tokenOfOther(request);
    }
  }

  function obtained(
    request: RenewalRequest,
    { current, sessionsEndedAt: endedBefore = 0 }: LoginStart,
    record: TokenRecord,
    checkedAt: number,
  ): Renewed {
    // Without a lease, the login may be later than an end that this replica has heard of only now.
    const sessionsEndedAt = Math.max(endedBefore, cache.sessionsEndedAt(request.id) ?? 0) || undefined;
    // The former token ended before this login replaced it. The worker reports tokens that nothing has replaced.
    const hasEnded = current?.read && clock.now() >= current.token.expiresAt;
    if (hasEnded && isRenewedInBackground(current, policy)) observer.endedUnrenewed();
    cache.renew(record, request.id, checkedAt, sessionsEndedAt);
    return { record, outcome: 'login', checkedAt, sessionsEndedAt };
  }

  /** The token of a login that was sent later. @returns `undefined` if it will not do */
  async function tokenOfOther(request: RenewalRequest): Promise<Renewed | undefined> {
    const checkedAt = clock.monotonic();
    const stored = await terminals.read(request.id);
    const { record } = stored;
    if (!record || !request.satisfies(record)) return undefined;
    return { record, outcome: 'waited', checkedAt, sessionsEndedAt: sessionsEndIn(stored) };
  }

  /** @throws BrokerError for a login that a logout or an erasure has ended */
  async function refuseOutdated(request: RenewalRequest): Promise<never> {
    const known = cache.sessionsEndedAt(request.id);
    refuseEnded(request, await terminals.read(request.id).then(sessionsEndIn, () => known));
    throw loggedOutMeanwhile();
  }

  async function save(
    { id, sessionIssuedAt = 0 }: RenewalRequest,
    lease: Lease | undefined,
    record: TokenRecord,
  ): Promise<SaveOutcome | 'write_back'> {
    const issuedAt = lease ? undefined : sessionIssuedAt;
    try {
      return lease
        ? await terminals.save(lease, record, dueAt(record, policy, id))
        : await writeBack.write(id, record, issuedAt);
    } catch (error) {
      log.error({ subject: id, err: error }, 'a new token could not be stored; the broker writes it back later');
      writeBack.add(record, issuedAt);
      return 'write_back';
    }
  }

  /** The generation of a login that is sent now: newer than everything that this replica knows of. */
  function generationNow({ id, known }: RenewalRequest): number {
    const newest = Math.max(known?.generation ?? 0, known?.answeredAt ?? 0, cache.newestKnown(id));
    return Math.max(newest + 1, storeTime(id, -CLOCK_TOLERANCE_MS));
  }

  /** After the wait for a place: another replica may have sent a login. A logout or an erasure since stays later. */
  function generationOnceSent(request: RenewalRequest, generation: number): number {
    const isOutdated = generation <= cache.outdatedUntil(request.id);
    return isOutdated ? generation : generationNow(request);
  }

  /** The store's clock, epoch ms. @param toleranceMs added to the own clock, if the store has never answered */
  function storeTime(id: SubjectId, toleranceMs: number): number {
    return Math.floor(terminals.clockFor(id) ?? clock.now() + toleranceMs);
  }

  /** Removes the tokens of an account: of this terminal first, then of its others, which would not expire soon. */
  async function removeTokens(id: SubjectId, { unionId }: Subject): Promise<void> {
    const remove = async (one: SubjectId): Promise<void> => {
      const outdated = await terminals.remove(one);
      // The announcement may be lost.
      if (outdated !== undefined) cache.loggedOut(one, outdated);
    };
    try {
      await remove(id);
      const others = (await accounts.find(unionId)).records;
      await Promise.all(others.map(({ subject }) => remove(subjectId(subject))));
    } catch (error) {
      log.warn({ subject: id, err: error }, 'a token that the vendor has ended could not be removed from the store');
    }
  }
}

function isRefusal(outcome: SaveOutcome | 'write_back'): boolean {
  return outcome !== 'saved' && outcome !== 'suspect' && outcome !== 'write_back';
}
