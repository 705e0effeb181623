import type { AccountId } from './subject.ts';

/** The rate of vendor logins. */
export interface Pace {
  /** Long-term distance between two logins. */
  readonly intervalMs: number;
  /** Number of logins allowed at once after a pause. */
  readonly burst: number;
}

/** `foreground`: an app waits for the login. `background`: no app waits. */
export type Urgency = 'foreground' | 'background';

/** `newcomer`: a foreground login of an account without a recent one. `returning`: any other foreground login. */
export type Priority = 'newcomer' | 'returning' | 'background';

export interface Place {
  /** Whether a place was reserved. */
  readonly granted: boolean;
  /** Time until the place, or, without one, until it makes sense to ask again. */
  readonly waitMs: number;
}

/** The queue's state. All values are ms by the clock of the queue. */
export interface PaceState {
  /** The next free place. In the past after a pause. */
  readonly next: number;
  /** Until when a newcomer waits in the queue. */
  readonly newcomersUntil: number;
  /** Until when a foreground login waits in the queue. */
  readonly foregroundUntil: number;
  /** When the next login that gives way to a waiting one may take a place. */
  readonly nextYielding: number;
  /** When the next returning login may take a place while a newcomer waits. */
  readonly nextReturning: number;
}

export const EMPTY_PACE: PaceState = {
  // A monotonic clock starts near 0: the whole burst is free then too.
  next: Number.NEGATIVE_INFINITY,
  newcomersUntil: 0,
  foregroundUntil: 0,
  nextYielding: 0,
  nextReturning: 0,
};

/**
 * Longest wait of a newcomer. A login that gives way to one may wait an interval longer, so that newcomers do not take
 * each place before its share is due.
 */
export const LONGEST_WAIT_MS = 2_000;
/**
 * Longest waits of the other priorities while no login waits that they give way to. A newcomer that comes later queues
 * behind them.
 */
export const LONGEST_RETURNING_WAIT_MS = 250;
export const LONGEST_BACKGROUND_WAIT_MS = 500;
/** While a login waits, those that give way to it get at most one of this many places. */
export const YIELDING_SHARE = 2;
/**
 * While a newcomer waits, returning logins get at most one of this many places. The background keeps the same share.
 */
export const RETURNING_SHARE = 4;

/** How long an account counts as returning after a foreground login. */
const RETURNING_MS = 600_000;
/** Maximum number of accounts that are remembered as returning. At a high rate, the time is shorter. */
const MAX_RETURNING = 100_000;

/** Returns how long an account counts as returning after a foreground login. */
export function returningMs({ intervalMs }: Pace): number {
  return Math.ceil(Math.min(RETURNING_MS, MAX_RETURNING * intervalMs));
}

/**
 * Returns the longest time of a login, in ms: two whole attempts, and 2 s for the waits before them.
 * @param timeoutMs the longest time of one attempt
 */
export function loginBudget(timeoutMs: number): number {
  return 2 * timeoutMs + LONGEST_WAIT_MS;
}

/**
 * Reserves the next place in the queue of vendor logins (generic cell rate algorithm with a queue; a place is a point
 * in time). Newcomers go first, then returning accounts, then the background. While a login waits, the priorities below
 * it get at most every second place together. So they let a newcomer wait for at most half a second, and none of them
 * starves.
 */
export function reservePlace(
  stored: PaceState,
  now: number,
  { intervalMs, burst }: Pace,
  priority: Priority,
): { readonly place: Place; readonly state: PaceState } {
  // No place is that far ahead: the clock was set back, or the state is from another clock.
  const state = stored.next > now + LONGEST_WAIT_MS + 2 * intervalMs ? EMPTY_PACE : stored;
  const next = Math.max(state.next, now - (burst - 1) * intervalMs);
  const waitMs = Math.max(0, next - now);
  const isNewcomer = priority === 'newcomer';
  const isReturning = priority === 'returning';
  const yields = !isNewcomer && (isReturning ? state.newcomersUntil : state.foregroundUntil) > now;
  const shareFrom = isReturning ? Math.max(state.nextYielding, state.nextReturning) : state.nextYielding;
  const shareWaitMs = yields ? Math.max(0, shareFrom - now) : 0;
  const longestFree = isReturning ? LONGEST_RETURNING_WAIT_MS : LONGEST_BACKGROUND_WAIT_MS;
  const longestBusy = isNewcomer ? LONGEST_WAIT_MS : LONGEST_WAIT_MS + intervalMs;
  const longest = isNewcomer || yields ? longestBusy : longestFree;
  if (shareWaitMs > 0 || waitMs > longest) {
    return { place: { granted: false, waitMs: Math.max(shareWaitMs, waitMs - longest) }, state };
  }
  const waits = waitMs > 0;
  return {
    place: { granted: true, waitMs },
    state: {
      next: next + intervalMs,
      newcomersUntil: isNewcomer && waits ? now + waitMs : state.newcomersUntil,
      foregroundUntil: (isNewcomer || isReturning) && waits ? now + waitMs : state.foregroundUntil,
      nextYielding: yields || priority === 'background' ? now + YIELDING_SHARE * intervalMs : state.nextYielding,
      nextReturning: isReturning ? now + RETURNING_SHARE * intervalMs : state.nextReturning,
    },
  };
}

/** The queue of vendor logins within one process. */
export class LocalLoginQueue {
  #state = EMPTY_PACE;
  /** Until when an account counts as returning, by the clock of `reserve`, the earliest first. */
  readonly #returningUntil = new Map<AccountId, number>();

  /** @param now by any clock, the same each time */
  reserve(now: number, pace: Pace, urgency: Urgency, account: AccountId): Place {
    this.#forget(now);
    const foreground = this.#returningUntil.has(account) ? 'returning' : 'newcomer';
    const priority = urgency === 'foreground' ? foreground : urgency;
    const { place, state } = reservePlace(this.#state, now, pace, priority);
    this.#state = state;
    if (place.granted && urgency === 'foreground') {
      this.#returningUntil.delete(account);
      this.#returningUntil.set(account, now + returningMs(pace));
    }
    return place;
  }

  /** How far ahead the next free place is: negative after a pause, `undefined` before the first login. */
  nextPlaceInMs(now: number): number | undefined {
    return this.#state === EMPTY_PACE ? undefined : Math.round(this.#state.next - now);
  }

  #forget(now: number): void {
    for (const [account, until] of this.#returningUntil) {
      if (until > now) return;
      this.#returningUntil.delete(account);
    }
  }
}
