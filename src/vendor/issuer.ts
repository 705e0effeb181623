import type { Clock } from '../token/clock.ts';
import type { LoginRequest, VendorLogin } from '../token/ports.ts';
import type { SdkToken } from '../token/sdk-token.ts';
import { VendorClient, type VendorResponse } from './client.ts';
import { ClockOffset } from './clock-offset.ts';
import { BrokenAnswer, type FaultFacts, VendorFault } from './fault.ts';
import { newNonce, prepareLogin } from './login-request.ts';
import { resultKind } from './result-codes.ts';
import type { VendorApp } from './vendor-app.ts';
import { toBrokerError, verdictOn } from './verdict.ts';
import { parseAnswer, readToken } from './wire.ts';

/** Where the issuer reports faults: never ids, tokens or bodies. */
export interface VendorLog {
  warn(obj: object, msg: string): void;
  error(obj: object, msg: string): void;
}

export interface VendorIssuerOptions {
  readonly baseUrl: URL;
  /** Other domains by country. */
  readonly regionUrls: ReadonlyMap<string, URL>;
  /** By the name in `Subject.app`. */
  readonly apps: ReadonlyMap<string, VendorApp>;
  /** Most ms one attempt may take, from connect to last byte. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: VendorLog;
}

/** What may stand in our log as the vendor's request id: nothing as long as a token. */
const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

interface Domain {
  readonly url: URL;
  readonly offset: ClockOffset;
}

/** Logs in at the vendor over HTTP: the domain by country, the app by the subject's edition. */
export class VendorIssuer implements VendorLogin {
  readonly #home: Domain;
  readonly #abroad: ReadonlyMap<string, Domain>;
  readonly #apps: ReadonlyMap<string, VendorApp>;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #log: VendorLog;
  readonly #client: VendorClient;

  constructor({ baseUrl, regionUrls, apps, timeoutMs, clock, log }: VendorIssuerOptions) {
    this.#home = toDomain(baseUrl);
    this.#abroad = new Map([...regionUrls].map(([region, url]) => [region, toDomain(url)]));
    this.#apps = apps;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#log = log;
    this.#client = new VendorClient({ clock, connectTimeoutMs: timeoutMs });
  }

  async login(request: LoginRequest): Promise<SdkToken> {
    try {
      return await this.#logIn(request);
    } catch (error) {
      if (!(error instanceof VendorFault)) throw error;
      const { level, message } = verdictOn(error);
      this.#log[level]({ kind: error.kind, ...error.facts, ...labels(request) }, message);
      throw toBrokerError(error);
    }
  }

  /** Ends the logins still in flight. */
  async close(): Promise<void> {
    await this.#client.close();
  }

  async #logIn(request: LoginRequest): Promise<SdkToken> {
    const deadline = this.#clock.now() + request.budgetMs;
    const domain = this.#abroad.get(request.region) ?? this.#home;
    try {
      return await this.#attempt(request, domain, deadline);
    } catch (error) {
      if (!(error instanceof VendorFault && error.kind === 'clock_skew')) throw error;
      const offsetMs = domain.offset.ms;
      this.#log.warn({ ...labels(request), offsetMs }, 'vendor refuses our timestamp: signing anew by its clock');
      return await this.#attempt(request, domain, deadline);
    }
  }

  async #attempt({ subject, region }: LoginRequest, domain: Domain, deadline: number): Promise<SdkToken> {
    const app = this.#apps.get(subject.app);
    if (!app) throw new VendorFault('configuration', { problem: 'no vendor app is configured by this name' });
    const sentAt = this.#clock.now();
    const timeoutMs = Math.min(this.#timeoutMs, deadline - sentAt);
    if (timeoutMs <= 0) throw new VendorFault('timeout', { problem: "the login's budget is spent" });
    const timestamp = Math.floor((sentAt + domain.offset.ms) / 1000);
    const login = prepareLogin({ domain: domain.url, app, subject, region, nonce: newNonce(), timestamp });
    return this.#read(await this.#client.post(login, timeoutMs), domain.offset, sentAt);
  }

  #read(response: VendorResponse, offset: ClockOffset, sentAt: number): SdkToken {
    const { status, text, dateHeader, retryAfter } = response;
    let facts: FaultFacts = { httpStatus: status, retryAfter };
    try {
      const { code, msg, requestId, data } = parseAnswer(text);
      facts = { ...facts, vendorCode: code, ...(REQUEST_ID.test(requestId) && { vendorRequestId: requestId }) };
      if (dateHeader !== undefined) {
        offset.observe({ vendorDate: dateHeader, sentAt, receivedAt: this.#clock.now() });
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

function toDomain(url: URL): Domain {
  return { url, offset: new ClockOffset() };
}

function labels({ region, subject }: LoginRequest): { region: string; app: string } {
  return { region, app: subject.app };
}
