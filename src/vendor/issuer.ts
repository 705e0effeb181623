import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { LoginOutcome, Observer } from '../token/observer.ts';
import type { LoginQueue, LoginRequest, VendorLogin } from '../token/ports.ts';
import type { SdkToken } from '../token/sdk-token.ts';
import { VendorClient, type VendorResponse } from './client.ts';
import { type Domain, Domains, type DomainsOptions } from './domains.ts';
import { BrokenAnswer, type FaultFacts, VendorFault } from './fault.ts';
import { newNonce, prepareLogin } from './login-request.ts';
import { LoginTurns } from './login-turn.ts';
import { resultKind, SUCCESS } from './result-codes.ts';
import { Retries, SHORTEST_ATTEMPT_MS } from './retries.ts';
import type { VendorApp } from './vendor-app.ts';
import { toBrokerError, verdictOn } from './verdict.ts';
import { parseAnswer, readToken } from './wire.ts';

export interface VendorIssuerOptions extends DomainsOptions {
  /** By the name in `Subject.app`. */
  readonly apps: ReadonlyMap<string, VendorApp>;
  /** Most ms one attempt may take, from connect to last byte. */
  readonly timeoutMs: number;
  /** The queue of logins over all replicas. */
  readonly queue: LoginQueue;
  /** Logins per second over all replicas; 0: no limit. */
  readonly maxPerSecond: number;
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
  readonly #client: VendorClient;

  constructor(options: VendorIssuerOptions) {
    const { apps, timeoutMs, clock, log, observer } = options;
    this.#domains = new Domains(options);
    this.#apps = apps;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#log = log;
    this.#observer = observer;
    this.#turns = new LoginTurns(options);
    this.#client = new VendorClient({ clock, connectTimeoutMs: timeoutMs });
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
        if (delayMs > 0) await sleep(delayMs);
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
