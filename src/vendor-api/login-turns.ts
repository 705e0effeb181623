import { type Clock, sleep } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import { EMPTY_PACE, type Pace, type PaceState, type Place, reservePlace, type Urgency } from '../token/login-queue.ts';
import type { Observer } from '../token/observer.ts';
import type { LoginQueue } from '../token/ports.ts';
import { raceTimeout } from '../token/time-budget.ts';

/** The share of the budget a replica allows itself while the store cannot be asked what the others use of it. */
const SHARE_ALONE = 1 / 4;
/** Most ms the queue may take to answer where an app waits. */
const QUEUE_MS = 100;

export interface LoginTurnsOptions {
  readonly queue: LoginQueue;
  /** Logins per second over all replicas; 0: no limit. */
  readonly maxPerSecond: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
}

/** Whose turn it is to log in: one budget over all replicas, and a share of it each while the store is away. */
export class LoginTurns {
  readonly #options: LoginTurnsOptions;
  #alone: PaceState = EMPTY_PACE;

  constructor(options: LoginTurnsOptions) {
    this.#options = options;
  }

  /**
   * Waits for the turn, at most 2 s.
   * @param latest epoch ms after which it would come too late
   * @throws BrokerError `vendor_busy`
   */
  async wait(urgency: Urgency, latest: number): Promise<void> {
    const { maxPerSecond, clock, observer } = this.#options;
    if (maxPerSecond === 0) return;
    const { granted, waitMs } =
      (await this.#reserve(maxPerSecond, urgency)) ?? this.#reserveAlone(maxPerSecond, urgency);
    if (!granted || clock.now() + waitMs > latest) {
      observer.budgetDenied(urgency);
      throw new BrokerError('vendor_busy', { retryAfter: Math.max(1, Math.ceil(waitMs / 1_000)) });
    }
    observer.budgetWaited(urgency, waitMs);
    if (waitMs > 0) await sleep(clock, waitMs);
  }

  async #reserve(maxPerSecond: number, urgency: Urgency): Promise<Place | undefined> {
    const { queue, log } = this.#options;
    try {
      const reserving = queue.reserve(paceOf(maxPerSecond), urgency);
      return urgency === 'background' ? await reserving : await raceTimeout(this.#options.clock, QUEUE_MS, reserving);
    } catch (error) {
      log.debug({ err: error }, 'the login budget cannot be shared at this moment: keeping to a share of it');
      return undefined;
    }
  }

  #reserveAlone(maxPerSecond: number, urgency: Urgency): Place {
    const pace = paceOf(maxPerSecond * SHARE_ALONE);
    const { place, state } = reservePlace(this.#alone, this.#options.clock.now(), pace, urgency);
    this.#alone = state;
    return place;
  }
}

function paceOf(perSecond: number): Pace {
  return { intervalMs: 1_000 / perSecond, burst: Math.max(1, Math.round(perSecond / 10)) };
}
