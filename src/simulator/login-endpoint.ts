import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../token/clock.ts';
import { readBody, sendJson } from './http-server.ts';
import { type Login, type LoginRequest, loginVerifier, Refusal, type RegisteredApp } from './login-verifier.ts';
import { type IssuedToken, issuedTokens, LoginCounts } from './vendor-records.ts';
import { afterFault, type Fault, type VendorSettings } from './vendor-settings.ts';

export interface LoginEndpointOptions {
  readonly apps: readonly RegisteredApp[];
  readonly clock: Clock;
  readonly settings: VendorSettings;
  readonly watchLogin?: LoginWatcher | undefined;
}

/** Called when a valid login arrives. The function that it returns is called when the login ends. */
export type LoginWatcher = (login: Login) => (ended: EndedLogin) => void;

export interface EndedLogin {
  /** `success`, the result code of a refusal, or the fault that replaced the answer. */
  readonly result: 'success' | number | Fault;
  /** The token that the login issued, whether or not the answer reached the caller. */
  readonly token: IssuedToken | undefined;
  /** Whether the caller still listened when the whole answer was sent. */
  readonly isDelivered: boolean;
}

/** The endpoint `thirdCustLogin`. It decides when a request arrives, and answers after the latency. */
export class LoginEndpoint {
  readonly counts = new LoginCounts();
  readonly tokens = issuedTokens();
  /** A change counts from the next login on. */
  settings: VendorSettings;
  readonly #options: LoginEndpointOptions;
  readonly #verify: ReturnType<typeof loginVerifier>;
  readonly #admit = loginLimit();
  readonly #closing = new AbortController();

  constructor(options: LoginEndpointOptions) {
    this.#options = options;
    this.settings = options.settings;
    this.#verify = loginVerifier(options.apps);
    // Each delayed answer adds a listener.
    setMaxListeners(0, this.#closing.signal);
  }

  /** The vendor's clock, epoch ms. */
  now(): number {
    return this.#options.clock.now() + this.settings.clockOffsetMs;
  }

  /** Aborts the answers that are still being delayed. */
  close(): void {
    this.#closing.abort();
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.counts.countAttempt(this.#options.clock.now());
    const answer = this.#decide({ headers: request.headers, body: await readBody(request) }, response);
    const { latencyMs } = this.settings;
    if (latencyMs > 0) await sleep(latencyMs, undefined, { signal: this.#closing.signal });
    response.setHeader('date', new Date(this.now()).toUTCString());
    return answer();
  }

  /** @returns a function that sends the answer */
  #decide(request: LoginRequest, response: ServerResponse): () => void | Promise<void> {
    const { clock, watchLogin } = this.#options;
    try {
      const login = this.#verify(request, this.now());
      this.#admit(this.settings.maxLoginsPerSecond, clock.now());
      const { fault } = this.settings;
      this.settings = afterFault(this.settings);
      response.once('close', this.counts.startLogin(login));
      const onEnd = watchLogin?.(login);
      return () => this.#logIn(response, login, fault, onEnd);
    } catch (error) {
      if (error instanceof Refusal) return () => this.#refuse(response, error);
      throw error;
    }
  }

  async #logIn(
    response: ServerResponse,
    login: Login,
    fault: Fault,
    onEnd: (ended: EndedLogin) => void = () => undefined,
  ): Promise<void> {
    const refusal = REFUSALS[fault];
    if (refusal !== undefined) {
      onEnd({ result: refusal.code, token: undefined, isDelivered: !response.destroyed });
      return this.#refuse(response, refusal);
    }
    if (await breakAnswer(fault, response)) {
      return onEnd({ result: fault, token: undefined, isDelivered: false });
    }

    const { mode, tokenLifetimeSeconds, expireTimeUnit } = this.settings;
    const lifetimeMs = fault === 'past-expiry' ? PAST_EXPIRY_MS : tokenLifetimeSeconds * 1000;
    const token = this.tokens.issue(login, mode, this.#options.clock.now(), lifetimeMs);
    this.counts.countSuccess(login);
    const result = fault === 'none' ? 'success' : fault;
    onEnd({ result, token, isDelivered: result === 'success' && !response.destroyed });
    const expireTime = Math.floor((this.now() + lifetimeMs) / (expireTimeUnit === 'ms' ? 1 : 1000));
    const { accessToken, accessId, terminalId, expand } = token;
    // docs/vendor-login.md, "Response". The fault `no-token`: a successful answer without the access token.
    const data = { accessId, ...(fault !== 'no-token' && { accessToken }), expireTime, terminalId, expand };
    const body = { code: 0, msg: 'success', requestId: randomUUID(), data };
    if (fault === 'cut-off') cutOff(response, JSON.stringify(body));
    else sendJson(response, body);
  }

  #refuse(response: ServerResponse, { code, message, status, headers }: Refusal): void {
    this.counts.countRefusal(code);
    sendJson(response, { code, msg: message, requestId: randomUUID(), data: {} }, status, headers);
  }
}

/** The vendor's own rate limit, over all apps and accounts. */
function loginLimit() {
  let admittedAt: number[] = [];
  /** @param perSecond 0: no limit @param now epoch ms @throws Refusal 10015 */
  return (perSecond: number, now: number): void => {
    if (perSecond === 0) return;
    admittedAt = admittedAt.filter((at) => now - at < 1000);
    if (admittedAt.length >= perSecond) throw new Refusal('tooFrequent', 'too many logins per second');
    admittedAt.push(now);
  };
}

/** The lifetime of a token under the fault `past-expiry`: it expired an hour ago. */
const PAST_EXPIRY_MS = -3_600_000;

/** The faults that stand for a refusal. The login does not take effect. */
const REFUSALS: Readonly<Partial<Record<Fault, Refusal>>> = {
  maintenance: new Refusal('maintenance', 'system maintenance'),
  'too-frequent': new Refusal('tooFrequent', 'request too frequent', 429, { 'retry-after': '2' }),
  'account-closed': new Refusal('accountClosed', 'account closed'),
  'frozen-app': new Refusal('appFrozen', 'app frozen'),
};

/** Replaces the vendor's answer, or sends none. The login has no effect. @returns whether `fault` is such a fault */
async function breakAnswer(fault: Fault, response: ServerResponse): Promise<boolean> {
  switch (fault) {
    case 'http-500':
      response.writeHead(500, { 'content-type': 'text/plain' }).end('Internal Server Error');
      return true;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Gateway</title>');
      return true;
    case 'reset':
      response.socket?.resetAndDestroy();
      return true;
    case 'hang':
      return true;
    case 'endless':
      response.writeHead(200, { 'content-type': 'application/json' });
      await pipeline(Readable.from(endlessJson()), response);
      return true;
    default:
      return false;
  }
}

function* endlessJson(): Generator<string> {
  yield '{"code":0,"msg":"';
  for (;;) yield 'endless '.repeat(1024);
}

/** The fault `cut-off`: the login took effect, but the connection ends after half of the answer. */
function cutOff(response: ServerResponse, answer: string): void {
  const bytes = Buffer.from(answer);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': bytes.length });
  response.write(bytes.subarray(0, bytes.length / 2), () => response.socket?.destroy());
}
