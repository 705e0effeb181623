import { type Clock, sleep } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import { LocalLoginQueue, type Pace, type Place, type Urgency } from '../token/login-queue.ts';
import type { Observer } from '../token/observer.ts';
import type { LoginQueue } from '../token/ports.ts';
import type { AccountId } from '../token/subject.ts';
import { raceTimeout } from '../token/time-budget.ts';

/** The share of the login budget that each replica uses while the shared queue is unavailable. */
const LOCAL_SHARE = 1 / 4;
/** Timeout of the shared queue for a login that an app waits for. */
const QUEUE_TIMEOUT_MS = 100;

export interface LoginTurnsOptions {
  /** The queue of logins over all replicas. */
  readonly queue: Pick<LoginQueue, 'reserve'>;
  /** The login budget: logins per second over all replicas; 0: no limit. */
  readonly maxPerSecond: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
}

/** Keeps all replicas together within the login budget. While the store is unavailable, each replica uses a share of it. */
export class LoginTurns {
  readonly #options: LoginTurnsOptions;
  readonly #localQueue = new LocalLoginQueue();

  constructor(options: LoginTurnsOptions) {
    this.#options = options;
  }

  /**
   * Waits until the login may be sent, at most 2 s.
   * @param latestAt epoch ms; a later turn would be useless
   * @throws BrokerError `vendor_busy`
   */
  async wait(account: AccountId, urgency: Urgency, latestAt: number): Promise<void> {
    const { maxPerSecond, clock, observer } = this.#options;
    if (maxPerSecond === 0) return;
    const { granted, waitMs } =
      (await this.#reserve(paceOf(maxPerSecond), urgency, account)) ??
      this.#localQueue.reserve(clock.now(), paceOf(maxPerSecond * LOCAL_SHARE), urgency, account);
    if (!granted || clock.now() + waitMs > latestAt) {
      observer.budgetDenied(urgency);
      throw new BrokerError('vendor_busy', { retryAfter: Math.max(1, Math.ceil(waitMs / 1_000)) });
    }
    observer.budgetWaited(urgency, waitMs);
    if (waitMs > 0) await sleep(clock, waitMs);
  }

  async #reserve(pace: Pace, urgency: Urgency, account: AccountId): Promise<Place | undefined> {
    const { queue, log } = this.#options;
    try {
      const reservation = queue.reserve(pace, urgency, account);
      return urgency === 'background'
        ? await reservation
        : await raceTimeout(this.#options.clock, QUEUE_TIMEOUT_MS, reservation);
    } catch (error) {
      log.debug(
        { err: error },
        'the shared login queue is unavailable: this replica uses its share of the login budget',
      );
      return undefined;
    }
  }
}

function paceOf(perSecond: number): Pace {
  return { intervalMs: 1_000 / perSecond, burst: Math.max(1, Math.round(perSecond / 10)) };
}
