import { type Clock, sleep, systemClock } from '../../src/token/clock.ts';
import { LoginNotSent } from '../../src/token/errors.ts';
import type { LoginRequest, VendorLogin } from '../../src/token/ports.ts';
import type { SdkToken } from '../../src/token/sdk-token.ts';

/** A fake vendor login. A test sets its latency, token lifetime and failure. It counts the logins. */
export class ScriptedLogin implements VendorLogin {
  readonly requests: LoginRequest[] = [];
  /** The wait for a place in the login queue. */
  queueMs = 0;
  /** The number of logins that were sent. */
  sent = 0;
  latencyMs = 0;
  lifeMs = 60_000;
  /** If set, every login throws this error. */
  failure: Error | undefined;
  /** Maximum number of concurrent logins so far: of one subject, and in total. */
  mostConcurrent = 0;
  mostInAll = 0;
  readonly #clock: Clock;
  #openInAll = 0;
  readonly #open = new Map<string, number>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  async login(request: LoginRequest): Promise<SdkToken> {
    const key = JSON.stringify(request.subject);
    this.requests.push(request);
    const number = this.requests.length;
    if (this.queueMs > 0) await sleep(this.#clock, this.queueMs);
    if (request.mayBeSent?.() === false) throw new LoginNotSent();
    this.sent += 1;
    const open = (this.#open.get(key) ?? 0) + 1;
    this.#open.set(key, open);
    this.mostConcurrent = Math.max(this.mostConcurrent, open);
    this.mostInAll = Math.max(this.mostInAll, ++this.#openInAll);
    const issuedAt = this.#clock.now();
    const { failure, lifeMs } = this;
    await sleep(this.#clock, this.latencyMs);
    this.#openInAll -= 1;
    this.#open.set(key, (this.#open.get(key) ?? 1) - 1);
    if (failure) throw failure;
    const accessId = `id-of-${request.subject.unionId}`;
    const fields = {
      accessId,
      accessToken: `token-${number}`,
      expireTime: String(Math.floor((issuedAt + lifeMs) / 1000)),
      terminalId: request.subject.uniqueId,
      expand: '',
      expend: '',
    };
    return { fields, issuedAt, expiresAt: issuedAt + lifeMs };
  }
}
