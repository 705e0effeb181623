import { LRUCache } from 'lru-cache';
import { type Clock, sleep, withTimeout } from '../token/clock.ts';
import { BrokerError, LoginNotSent, tokensEndedBy } from '../token/errors.ts';
import type { Pace, Place, Urgency } from '../token/login-queue.ts';
import type { LoginOutcome, Observer } from '../token/observer.ts';
import type { LoginQueue, LoginRequest, RateLimiter } from '../token/ports.ts';
import type { SdkToken } from '../token/sdk-token.ts';
import { type AccountId, accountId, subjectId } from '../token/subject.ts';
import type { Tracer } from '../token/tracer.ts';
import { SUCCESS } from './answer.ts';
import type { VendorTransport } from './client.ts';
import { type Domain, type DomainsOptions, vendorDomains } from './domains.ts';
import { exchange } from './exchange.ts';
import { ruleFor, toBrokerError, VendorFault } from './faults.ts';
import type { VendorApp } from './signed-call.ts';

const MAX_ATTEMPTS = 3;
/** Number of closed accounts that are remembered. */
const MAX_CLOSED = 1_000;
/** How long another replica does not count a closed account again. */
const CLOSED_MS = 24 * 3_600_000;
const FIRST_BACKOFF_MS = 250;
/** The pause after a login that was too frequent, if the vendor asks for none. */
const TOO_FREQUENT_PAUSE_S = 1;

/** The share of the login budget that each replica uses while the shared queue is unavailable. */
const LOCAL_SHARE = 1 / 4;
/** Timeout of the shared queue for a login that an app waits for. */
const QUEUE_TIMEOUT_MS = 100;

export interface LoginTurnsOptions extends Pick<DomainsOptions, 'clock' | 'log'> {
  readonly observer: Observer;
  /** The queue of logins over all replicas. */
  readonly queue: Pick<LoginQueue, 'reserve'>;
  /** Opens the queue of this replica alone. Called once, when the shared one is unavailable for the first time. */
  readonly openOwnQueue: () => Promise<Pick<LoginQueue, 'reserve'>>;
  /** The login budget: logins per second over all replicas; 0: no limit. */
  readonly maxPerSecond: number;
}

/**
 * Returns the function that waits until a login may be sent, at most 2 s. All replicas keep within the login budget,
 * and each within a share of it while the store is unavailable. A turn later than `latestAt` (monotonic) is useless.
 * @throws BrokerError `vendor_busy` as a rejection
 */
export function loginTurns({ queue, openOwnQueue, maxPerSecond, clock, log, observer }: LoginTurnsOptions) {
  let ownQueue: ReturnType<typeof openOwnQueue> | undefined;
  const reserveOwn = async (urgency: Urgency, account: AccountId): Promise<Place> => {
    ownQueue ??= openOwnQueue();
    return (await ownQueue).reserve(paceOf(maxPerSecond * LOCAL_SHARE), urgency, account);
  };
  const useShare = (fields: object) =>
    log.debug(fields, 'the shared login queue is unavailable: this replica uses its share of the login budget');
  const reserve = async (urgency: Urgency, account: AccountId): Promise<Place | undefined> => {
    try {
      const reservation = queue.reserve(paceOf(maxPerSecond), urgency, account);
      if (urgency === 'background') return await reservation;
      const place = await withTimeout(clock, QUEUE_TIMEOUT_MS, reservation);
      if (!place) useShare({ afterMs: QUEUE_TIMEOUT_MS });
      return place;
    } catch (error) {
      useShare({ err: error });
      return undefined;
    }
  };
  return async (account: AccountId, urgency: Urgency, latestAt: number): Promise<void> => {
    if (maxPerSecond === 0) return;
    const { granted, waitMs } = (await reserve(urgency, account)) ?? (await reserveOwn(urgency, account));
    if (!granted || clock.monotonic() + waitMs > latestAt) {
      observer.budgetDenied(urgency);
      throw new BrokerError('vendor_busy', { retryAfter: Math.max(1, Math.ceil(waitMs / 1_000)), waitMs });
    }
    observer.budgetWaited(urgency, waitMs);
    if (waitMs > 0) await sleep(clock, waitMs);
  };
}

function paceOf(perSecond: number): Pace {
  return { intervalMs: 1_000 / perSecond, burst: Math.max(1, Math.round(perSecond / 10)) };
}

/**
 * Returns the function that decides which faults of one login get another attempt, and when: only transient ones, three
 * attempts at most, with exponential backoff and full jitter, each only if it can end within the login budget. A login
 * that may have succeeded gets one retry at most, and so does a refused timestamp, by the vendor's clock.
 * @param latestAt by the monotonic clock; no attempt begins later
 * @returns its result is the delay of the next attempt in ms; `undefined` if the fault is final
 */
export function retryDelays(clock: Clock, latestAt: number): (fault: VendorFault) => number | undefined {
  let attempts = 0;
  let lostAnswers = 0;
  let isTimestampCorrected = false;
  return (fault) => {
    attempts += 1;
    if (attempts >= MAX_ATTEMPTS) return undefined;
    if (fault.kind === 'clock_skew') {
      if (isTimestampCorrected) return undefined;
      isTimestampCorrected = true;
      return 0;
    }
    const { retry } = ruleFor(fault);
    if (!retry || (retry === 'answer_lost' && ++lostAnswers > 1)) return undefined;
    const pause = fault.facts.retryAfter || (fault.kind === 'too_frequent' ? TOO_FREQUENT_PAUSE_S : 0);
    // The jitter comes on top, so that clients with the same Retry-After do not return at the same moment.
    const delayMs = 1_000 * pause + clock.random() * FIRST_BACKOFF_MS * 2 ** (attempts - 1);
    return clock.monotonic() + delayMs <= latestAt ? delayMs : undefined;
  };
}

export interface VendorLoginOptions extends DomainsOptions, LoginTurnsOptions {
  /** The apps now, by the name in `Subject.app`. */
  readonly apps: () => ReadonlyMap<string, VendorApp>;
  /** Timeout of one attempt in ms, from the start of the connection to the last byte. */
  readonly timeoutMs: number;
  /** Over all replicas. */
  readonly rates: Pick<RateLimiter, 'take'>;
  readonly tracer: Tracer;
  readonly transport: VendorTransport;
}

/** Logs in at the vendor over HTTP. The region decides the domain, and the subject decides the app. */
export function createVendorLogin(options: VendorLoginOptions) {
  const { clock, log, observer, rates, timeoutMs, tracer, transport, apps } = options;
  const domains = vendorDomains(options);
  const waitForTurn = loginTurns(options);
  /** Accounts that the vendor has closed, the last ones. */
  const closed = new LRUCache<AccountId, true>({ max: MAX_CLOSED });
  let isStopping = false;
  return { login, domains: domains.report, stopRetrying };

  async function login(request: LoginRequest): Promise<SdkToken> {
    const startedAt = clock.monotonic();
    const domain = domains.forRegion(request.region);
    const waits: LoginWaits = { totalMs: 0 };
    const account = accountId(request.subject.unionId);
    const ended = (outcome: LoginOutcome, vendorCode?: number) =>
      observer.loginEnded(outcome, vendorCode, clock.monotonic() - startedAt, waits.totalMs, account);
    try {
      const token = await loginWithRetries(request, domain, waits);
      ended('success', SUCCESS);
      domain.logins.succeeded(clock.now());
      return token;
    } catch (error) {
      if (error instanceof BrokerError) ended('busy');
      if (!(error instanceof VendorFault)) throw error;
      ended(error.kind, error.facts.vendorCode);
      const { level, message, code } = ruleFor(error);
      if (tokensEndedBy(code) === 'account') void noteClosed(account);
      const { region, subject, requestId } = request;
      const labels = { host: domain.url.host, region, app: subject.app, requestId, subject: subjectId(subject) };
      log[level]({ kind: error.kind, ...error.facts, ...labels }, message);
      throw toBrokerError(error);
    }
  }

  /** An app of a closed account may ask again and again, on any replica. */
  async function noteClosed(account: AccountId): Promise<void> {
    if (closed.get(account)) return;
    closed.set(account, true);
    // Without the store, each replica counts for itself.
    const waitMs = await rates.take(`closed:${account}`, CLOSED_MS, 1).catch(() => 0);
    if (waitMs === 0) observer.accountClosed();
  }

  /** Lets the logins in flight end with their present attempt, so that a shutdown need not wait for a second one. */
  function stopRetrying(): void {
    isStopping = true;
  }

  /** The only retry loop for logins. Each attempt has a signature and a turn of its own. */
  async function loginWithRetries(request: LoginRequest, domain: Domain, waits: LoginWaits): Promise<SdkToken> {
    // The budget decides only whether an attempt begins. Cutting off a login that was sent may lose the old token and
    // the new.
    const latestAt = clock.monotonic() + request.budgetMs - timeoutMs;
    const delayAfter = retryDelays(clock, latestAt);
    let sent: VendorFault | undefined;
    for (;;) {
      try {
        return await attempt(request, domain, latestAt, waits);
      } catch (error) {
        if (sent && isUnsent(error)) throw sent;
        if (!(error instanceof VendorFault)) throw error;
        noteFailure(domain, error, clock.now());
        const delayMs = delayAfter(error);
        if (delayMs === undefined) throw error;
        // A refused timestamp says nothing about the login. If its retry finds no place, the login is not refused.
        if (error.kind !== 'clock_skew') sent = error;
        const { region, subject } = request;
        log.debug({ kind: error.kind, delayMs, region, app: subject.app }, 'vendor login failed and is retried');
        if (delayMs > 0) await sleep(clock, delayMs);
        if (isStopping) throw error;
      }
    }
  }

  async function attempt(request: LoginRequest, domain: Domain, latestAt: number, waits: LoginWaits) {
    const waitsFrom = clock.monotonic();
    const { subject, urgency } = request;
    const app = apps().get(subject.app);
    if (!app) throw new VendorFault('configuration', { problem: 'no vendor app with this name is configured' });
    // Check the circuit breaker before queueing, so that a rejected call takes no place in the queue. Wait outside the
    // breaker and outside the timeout, because a wait for the queue or for a connection says nothing about the vendor.
    const account = accountId(subject.unionId);
    const leaveCircuit = domain.circuit.enter(account);
    try {
      await waitForTurn(account, urgency, latestAt);
      const isConnected = await domain.connections.take(latestAt - clock.monotonic());
      waits.totalMs += clock.monotonic() - waitsFrom;
      if (!isConnected) throw new BrokerError('vendor_busy', { retryAfter: 1 });
      try {
        // A wait may end a little late.
        if (clock.monotonic() > latestAt) throw new BrokerError('vendor_busy', { retryAfter: 1 });
        if (request.mayBeSent?.() === false) throw new LoginNotSent();
        return await send(request, domain, app);
      } finally {
        domain.connections.giveBack();
      }
    } finally {
      leaveCircuit();
    }
  }

  function send({ subject, region }: LoginRequest, { url, clock: vendorClock, circuit }: Domain, app: VendorApp) {
    const ask = async (): Promise<SdkToken> => {
      observer.loginSent();
      const { offsetMs } = vendorClock;
      const answer = await exchange({ domain: url, app, subject, region }, { transport, clock, timeoutMs, offsetMs });
      if (answer.offsetMs !== undefined) vendorClock.offsetMs = answer.offsetMs;
      if (!answer.token) throw new VendorFault(answer.kind, answer.facts);
      return answer.token;
    };
    const facts = { 'server.address': url.hostname, 'http.request.method': 'POST' };
    return circuit.run(accountId(subject.unionId), () => tracer.span('login attempt', ask, facts));
  }
}

/** How long the attempts of a login have waited for their turn, and for a connection. */
interface LoginWaits {
  totalMs: number;
}

/** The login found no place in the queue, no free connection, or an open circuit. */
function isUnsent(error: unknown): boolean {
  return error instanceof BrokerError || (error instanceof VendorFault && error.kind === 'circuit_open');
}

/** An open circuit is no news from the domain. The refusal of one account shows that the domain works. */
function noteFailure({ logins }: Domain, fault: VendorFault, at: number): void {
  const { kind, facts } = fault;
  if (kind === 'circuit_open') return;
  const { isOutage, level, retry } = ruleFor(fault);
  const failure = { at, reason: kind, vendorCode: facts.vendorCode, problem: facts.problem };
  if (isOutage || level === 'error') {
    logins.failed(failure);
    return;
  }
  logins.refused(failure);
  if (!retry) logins.works();
}
