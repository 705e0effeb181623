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

/** The queue's state. All values are epoch ms. */
export interface PaceState {
  /** The next free place. In the past after a pause. */
  readonly next: number;
  /** Until when a foreground login waits in the queue. */
  readonly waitingUntil: number;
  /** When the next background login may take a place while a foreground login waits. */
  readonly nextBackground: number;
}

export const EMPTY_PACE: PaceState = { next: 0, waitingUntil: 0, nextBackground: 0 };

/** Longest wait for a place. */
export const LONGEST_WAIT_MS = 2_000;
/** Longest wait of a background login while no foreground login waits: later foreground logins queue behind it. */
export const LONGEST_BACKGROUND_WAIT_MS = 500;

/**
 * Returns the longest time of a login, in ms: one attempt and half of another, or one attempt after the longest wait in the
 * login queue.
 * @param timeoutMs the longest time of one attempt
 */
export function loginBudget(timeoutMs: number): number {
  return Math.max(1.5 * timeoutMs, timeoutMs + LONGEST_WAIT_MS);
}

/**
 * Reserves the next place in the queue of vendor logins (generic cell rate algorithm with a queue; a place is a point in
 * time). Foreground logins go first: while one waits, background logins get at most every second place.
 */
export function reservePlace(
  stored: PaceState,
  now: number,
  { intervalMs, burst }: Pace,
  urgency: Urgency,
): { readonly place: Place; readonly state: PaceState } {
  // No place is that far ahead: the clock was set back, or the state is from another clock.
  const state = stored.next > now + LONGEST_WAIT_MS + intervalMs ? EMPTY_PACE : stored;
  const next = Math.max(state.next, now - (burst - 1) * intervalMs);
  const waitMs = Math.max(0, next - now);
  const foregroundWaits = state.waitingUntil > now;
  if (urgency === 'foreground') {
    if (waitMs > LONGEST_WAIT_MS) return { place: { granted: false, waitMs: waitMs - LONGEST_WAIT_MS }, state };
    const waitingUntil = waitMs > 0 ? now + waitMs : state.waitingUntil;
    return { place: { granted: true, waitMs }, state: { ...state, next: next + intervalMs, waitingUntil } };
  }
  const backgroundWaitMs = foregroundWaits ? Math.max(0, state.nextBackground - now) : 0;
  const longest = foregroundWaits ? LONGEST_WAIT_MS : LONGEST_BACKGROUND_WAIT_MS;
  if (backgroundWaitMs > 0 || waitMs > longest) {
    return { place: { granted: false, waitMs: Math.max(backgroundWaitMs, waitMs - longest) }, state };
  }
  const nextBackground = now + 2 * intervalMs;
  return { place: { granted: true, waitMs }, state: { ...state, next: next + intervalMs, nextBackground } };
}
