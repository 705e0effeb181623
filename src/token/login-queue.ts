/** The rate of vendor logins. */
export interface Pace {
  /** Long-term distance between two logins. */
  readonly intervalMs: number;
  /** Number of logins allowed at once after a pause. */
  readonly burst: number;
}

/** `foreground`: an app waits for the login. `background`: no app waits. */
export type Urgency = 'foreground' | 'background';

export interface Place {
  /** Whether a place was reserved. */
  readonly granted: boolean;
  /** Time until the place, or, without one, until it makes sense to ask again. */
  readonly waitMs: number;
}

/** Longest wait of a newcomer. Logins that yield may wait one interval longer, so that newcomers leave them a share. */
export const LONGEST_WAIT_MS = 2_000;
/** Longest waits of the other priorities, while no login waits that they yield to. Later newcomers go behind them. */
export const LONGEST_RETURNING_WAIT_MS = 250;
export const LONGEST_BACKGROUND_WAIT_MS = 500;
/** While a login waits, those that give way to it get at most one of this many places. */
export const YIELDING_SHARE = 2;
/** While a newcomer waits, returning logins get at most one of this many places. The background keeps its share. */
export const RETURNING_SHARE = 4;

/** How long an account counts as returning after a foreground login. */
const RETURNING_MS = 600_000;
/** Maximum number of accounts that are remembered as returning. At a high rate, the time is shorter. */
const MAX_RETURNING = 100_000;

/** Returns how long an account counts as returning after a foreground login. */
export function returningMs({ intervalMs }: Pace): number {
  return Math.ceil(Math.min(RETURNING_MS, MAX_RETURNING * intervalMs));
}

/** Returns the longest time of a login, in ms: two attempts of `timeoutMs`, and 2 s for the waits before them. */
export function loginBudget(timeoutMs: number): number {
  return 2 * timeoutMs + LONGEST_WAIT_MS;
}
