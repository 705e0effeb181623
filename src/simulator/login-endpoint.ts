import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../token/clock.ts';
import { readBody, sendJson } from './exchange.ts';
import { type Login, readLogin } from './login-body.ts';
import type { LoginCounts } from './login-counts.ts';
import { Refusal } from './refusal.ts';
import { type ReceivedRequest, RequestVerification, type VendorApp } from './request-verification.ts';
import {
  answerAmiss,
  cutOff,
  type ExpireTimeForm,
  type Fault,
  refusalBy,
  type VendorSettings,
} from './vendor-settings.ts';
import type { IssuedToken, VendorWorld } from './vendor-world.ts';

/** The vendor's own limit: so many logins in any one second, for everybody together. */
class LoginLimit {
  #admitted: number[] = [];

  /**
   * @param perSecond 0: no limit
   * @param now epoch ms
   * @throws Refusal 10015
   */
  admit(perSecond: number, now: number): void {
    if (perSecond === 0) return;
    this.#admitted = this.#admitted.filter((at) => now - at < 1000);
    if (this.#admitted.length >= perSecond) throw new Refusal('tooFrequent', 'too many logins per second');
    this.#admitted.push(now);
  }
}

export interface AnswerForm {
  readonly expireTimeForm: ExpireTimeForm;
  /** Epoch ms by the vendor's clock. */
  readonly vendorNow: number;
  /** Ms until the token expires; negative if it has. */
  readonly remainingMs: number;
}

interface SuccessBody {
  readonly code: 0;
  readonly msg: string;
  readonly requestId: string;
  readonly data: Readonly<Record<string, string | number>>;
}

/** The body of a success (protocol.md, "Response"). */
function successBody(token: IssuedToken, form: AnswerForm): SuccessBody {
  const { accessToken, accessId, terminalId, expand } = token;
  return {
    code: 0,
    msg: 'success',
    requestId: randomUUID(),
    data: { accessId, accessToken, expireTime: expireTime(form), terminalId, expand },
  };
}

/** The `no-token` fault: a success in which the one thing needed is missing. */
function withoutToken(body: SuccessBody): SuccessBody {
  const { accessToken: _, ...data } = body.data;
  return { ...body, data };
}

function sendRefusal(response: ServerResponse, { code, message, status, headers }: Refusal): void {
  sendJson(response, { code, msg: message, requestId: randomUUID(), data: {} }, status, headers);
}

function expireTime({ expireTimeForm, vendorNow, remainingMs }: AnswerForm): number | string {
  const expiresAt = vendorNow + remainingMs;
  switch (expireTimeForm) {
    case 'absolute-number':
      return Math.floor(expiresAt / 1000);
    case 'absolute-string':
      return String(Math.floor(expiresAt / 1000));
    case 'lifetime':
      return Math.floor(remainingMs / 1000);
    case 'milliseconds':
      return Math.floor(expiresAt);
  }
}

/** How long before it is handed out the token of the `past-expiry` fault expired. */
const PAST_EXPIRY_MS = -3_600_000;

export interface LoginEndpointParts {
  readonly apps: readonly VendorApp[];
  readonly clock: Clock;
  readonly counts: LoginCounts;
  readonly world: VendorWorld;
  /** As they are now. */
  readonly settings: () => VendorSettings;
  /** The fault that befalls this login; counts it. */
  readonly takeFault: () => Fault;
  /** Gives up answers that are being delayed. */
  readonly closing: AbortSignal;
}

type Verdict = { readonly login: Login; readonly fault: Fault; readonly answered: () => void } | Refusal;

/** `thirdCustLogin`: judged as it arrives, answered after the latency. */
export class LoginEndpoint {
  readonly #parts: LoginEndpointParts;
  readonly #verification: RequestVerification;
  readonly #limit = new LoginLimit();

  constructor(parts: LoginEndpointParts) {
    this.#parts = parts;
    this.#verification = new RequestVerification(parts.apps);
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { clock, counts, settings, closing } = this.#parts;
    counts.attempt(clock.now());
    const verdict = this.#judge({ headers: request.headers, body: await readBody(request) });
    if (!(verdict instanceof Refusal)) response.once('close', verdict.answered);
    const { latencyMs } = settings();
    if (latencyMs > 0) await sleep(latencyMs, undefined, { signal: closing });
    response.setHeader('date', new Date(this.#vendorNow()).toUTCString());
    if (verdict instanceof Refusal) this.#refuse(response, verdict);
    else await this.#logIn(response, verdict.login, verdict.fault);
  }

  #judge(request: ReceivedRequest): Verdict {
    const { apps, clock, counts, settings, takeFault } = this.#parts;
    try {
      const signer = this.#verification.verify(request, this.#vendorNow());
      const login = readLogin(request.body, apps, signer);
      this.#limit.admit(settings().maxLoginsPerSecond, clock.now());
      return { login, fault: takeFault(), answered: counts.open(login) };
    } catch (error) {
      if (error instanceof Refusal) return error;
      throw error;
    }
  }

  async #logIn(response: ServerResponse, login: Login, fault: Fault): Promise<void> {
    const { clock, counts, settings, world } = this.#parts;
    const refusal = refusalBy(fault);
    if (refusal !== undefined) return this.#refuse(response, refusal);
    if (await answerAmiss(fault, response)) return;

    const { mode, tokenLifetimeSeconds, expireTimeForm } = settings();
    const remainingMs = fault === 'past-expiry' ? PAST_EXPIRY_MS : tokenLifetimeSeconds * 1000;
    const token = world.issue(login, mode, clock.now(), remainingMs);
    counts.success(login);
    const body = successBody(token, { expireTimeForm, vendorNow: this.#vendorNow(), remainingMs });
    if (fault === 'cut-off') cutOff(response, JSON.stringify(body));
    else sendJson(response, fault === 'no-token' ? withoutToken(body) : body);
  }

  #refuse(response: ServerResponse, refusal: Refusal): void {
    this.#parts.counts.refusal(refusal.code);
    sendRefusal(response, refusal);
  }

  #vendorNow(): number {
    return this.#parts.clock.now() + this.#parts.settings().clockOffsetMs;
  }
}
