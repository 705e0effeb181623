import { type Clock, sleep } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { LoginOutcome, Observer } from '../token/observer.ts';
import type { LoginQueue, LoginRequest, VendorLogin } from '../token/ports.ts';
import type { SdkToken } from '../token/sdk-token.ts';
import { BrokenAnswer, parseAnswer, readToken, resultKind, SUCCESS } from './answer.ts';
import { VendorClient, type VendorResponse, type VendorTransport } from './client.ts';
import { type Domain, Domains, type DomainsOptions } from './domains.ts';
import { type FaultFacts, isLost, isOutage, toBrokerError, VendorFault, verdictOn } from './faults.ts';
import { LoginTurns } from './login-turns.ts';
import { newNonce, prepareLogin, type VendorApp } from './signed-call.ts';

const MOST_ATTEMPTS = 3;
const FIRST_DELAY_MS = 250;
/** Less time than this is not worth an attempt. */
const SHORTEST_ATTEMPT_MS = 100;

/**
 * Which faults of one login are worth another attempt, and when: only passing ones, at most three attempts, with full
 * jitter, within the login's budget of time. Where the answer was lost the login may have succeeded, so that is tried
 * again once at most; so is a timestamp the vendor refused, by its own clock.
 */
export class Retries {
  readonly #clock: Clock;
  readonly #deadline: number;
  #attempts = 0;
  #lost = 0;
  #resigned = false;

  /** @param deadline epoch ms at which the login's budget of time is spent */
  constructor(clock: Clock, deadline: number) {
    this.#clock = clock;
    this.#deadline = deadline;
  }

  /** Ms after which to try again; `undefined`: this fault is final. */
  after({ kind, facts }: VendorFault): number | undefined {
    this.#attempts += 1;
    if (this.#attempts >= MOST_ATTEMPTS) return undefined;
    if (kind === 'clock_skew') return this.#once();
    if (!isOutage(kind)) return undefined;
    if (isLost(kind) && ++this.#lost > 1) return undefined;
    const askedMs = (facts.retryAfter ?? 0) * 1_000;
    // On top of it: whoever is asked to wait as long must not come back in step.
    const delayMs = askedMs + this.#clock.random() * FIRST_DELAY_MS * 2 ** (this.#attempts - 1);
    return this.#clock.now() + delayMs + SHORTEST_ATTEMPT_MS < this.#deadline ? delayMs : undefined;
  }

  #once(): number | undefined {
    if (this.#resigned) return undefined;
    this.#resigned = true;
    return 0;
  }
}

export interface VendorIssuerOptions extends DomainsOptions {
  /** By the name in `Subject.app`. */
  readonly apps: ReadonlyMap<string, VendorApp>;
  /** Most ms one attempt may take, from connect to last byte. */
  readonly timeoutMs: number;
  /** The queue of logins over all replicas. */
  readonly queue: LoginQueue;
  /** Logins per second over all replicas; 0: no limit. */
  readonly maxPerSecond: number;
  /** Default: HTTP over a pool of connections. */
  readonly transport?: VendorTransport;
}

/** What may stand in our log as the vendor's request id: nothing as long as a token. */
const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** Logs in at the vendor over HTTP: the domain by country, the app by the subject's edition. */
export class VendorIssuer implements VendorLogin {
  readonly #domains: Domains;
  readonly #apps: ReadonlyMap<string, VendorApp>;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #observer: Observer;
  readonly #turns: LoginTurns;
  readonly #client: VendorTransport;

  constructor(options: VendorIssuerOptions) {
    const { apps, timeoutMs, clock, log, observer } = options;
    this.#domains = new Domains(options);
    this.#apps = apps;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#log = log;
    this.#observer = observer;
    this.#turns = new LoginTurns(options);
    this.#client = options.transport ?? new VendorClient({ clock, connectTimeoutMs: timeoutMs });
  }

  async login(request: LoginRequest): Promise<SdkToken> {
    const startedAt = this.#clock.now();
    const ended = (outcome: LoginOutcome, vendorCode?: number) =>
      this.#observer.loginEnded(outcome, vendorCode, this.#clock.now() - startedAt);
    try {
      const token = await this.#logIn(request);
      ended('success', SUCCESS);
      return token;
    } catch (error) {
      if (error instanceof BrokerError) ended('busy');
      if (!(error instanceof VendorFault)) throw error;
      ended(error.kind, error.facts.vendorCode);
      const { level, message } = verdictOn(error);
      this.#log[level]({ kind: error.kind, ...error.facts, ...labels(request) }, message);
      throw toBrokerError(error);
    }
  }

  /** Ends the logins still in flight. */
  async close(): Promise<void> {
    await this.#client.close();
  }

  /** The one owner of retries: each attempt is signed anew and takes a turn of its own. */
  async #logIn(request: LoginRequest): Promise<SdkToken> {
    const deadline = this.#clock.now() + request.budgetMs;
    const domain = this.#domains.of(request.region);
    const retries = new Retries(this.#clock, deadline);
    for (;;) {
      try {
        return await this.#attempt(request, domain, deadline);
      } catch (error) {
        if (!(error instanceof VendorFault)) throw error;
        const delayMs = retries.after(error);
        if (delayMs === undefined) throw error;
        this.#log.debug({ kind: error.kind, delayMs, ...labels(request) }, 'vendor login is tried again');
        if (delayMs > 0) await sleep(this.#clock, delayMs);
      }
    }
  }

  async #attempt({ subject, region, urgency }: LoginRequest, domain: Domain, deadline: number): Promise<SdkToken> {
    const app = this.#apps.get(subject.app);
    if (!app) throw new VendorFault('configuration', { problem: 'no vendor app is configured by this name' });
    // A spared vendor costs no turn; what it takes to wait for one says nothing about the vendor.
    domain.circuit.admit();
    await this.#turns.wait(urgency, deadline - SHORTEST_ATTEMPT_MS);
    const sentAt = this.#clock.now();
    const timeoutMs = Math.min(this.#timeoutMs, deadline - sentAt);
    if (timeoutMs <= 0) throw new VendorFault('timeout', { problem: "the login's budget is spent" });
    const timestamp = Math.floor((sentAt + domain.offset.ms) / 1000);
    const login = prepareLogin({ domain: domain.url, app, subject, region, nonce: newNonce(), timestamp });
    return domain.circuit.run(async () => {
      this.#observer.loginSent();
      return this.#read(await this.#client.post(login, timeoutMs), domain, sentAt);
    });
  }

  #read(response: VendorResponse, { url, offset }: Domain, sentAt: number): SdkToken {
    const { status, text, dateHeader, retryAfter } = response;
    let facts: FaultFacts = { httpStatus: status, retryAfter };
    try {
      const { code, msg, requestId, data } = parseAnswer(text);
      facts = { ...facts, vendorCode: code, ...(REQUEST_ID.test(requestId) && { vendorRequestId: requestId }) };
      if (dateHeader !== undefined) {
        offset.observe({ vendorDate: dateHeader, sentAt, receivedAt: this.#clock.now() });
        this.#observer.clockOffsetSeen(url.host, offset.ms);
      }
      const kind = resultKind(code, msg);
      if (kind !== 'success') throw new VendorFault(kind, facts);
      return readToken(data, { sentAt, offsetMs: offset.ms });
    } catch (error) {
      if (!(error instanceof BrokenAnswer)) throw error;
      const gone = facts.vendorCode === undefined && (status >= 500 || status === 429);
      throw new VendorFault(gone ? 'outage' : 'broken_answer', { ...facts, problem: error.message });
    }
  }
}

function labels({ region, subject }: LoginRequest): { region: string; app: string } {
  return { region, app: subject.app };
}
