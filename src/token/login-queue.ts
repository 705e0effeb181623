/** How fast logins may follow each other. */
export interface Pace {
  /** One login each so many ms in the long run. */
  readonly intervalMs: number;
  /** So many at once after a pause. */
  readonly burst: number;
}

/** Who wants a place: an app that waits, or a renewal nobody waits for. */
export type Urgency = 'foreground' | 'background';

export interface Place {
  /** Whether a place was reserved. */
  readonly granted: boolean;
  /** Ms until it, or after which to ask again. */
  readonly waitMs: number;
}

/** The queue: instants in epoch ms. */
export interface PaceState {
  /** The next place that is free; in the past after a pause. */
  readonly next: number;
  /** Until when somebody waits whom an app asked for. */
  readonly waitingUntil: number;
  /** When the next renewal may have a place while somebody waits. */
  readonly nextBackground: number;
}

export const EMPTY_PACE: PaceState = { next: 0, waitingUntil: 0, nextBackground: 0 };

/** The longest anyone queues for a place. */
export const LONGEST_WAIT_MS = 2_000;
/** The longest a renewal queues where nobody waits: whoever comes next queues behind it. */
export const LONGEST_BACKGROUND_WAIT_MS = 500;

/**
 * Reserves the next place, each place an instant (the generic cell rate algorithm with a queue). Who is asked for goes
 * first: while such a one waits, renewals get every second place at most.
 */
export function reservePlace(
  stored: PaceState,
  now: number,
  { intervalMs, burst }: Pace,
  urgency: Urgency,
): { readonly place: Place; readonly state: PaceState } {
  // Nobody queues that long: the clock has been set back, or is another one.
  const state = stored.next > now + LONGEST_WAIT_MS + intervalMs ? EMPTY_PACE : stored;
  const next = Math.max(state.next, now - (burst - 1) * intervalMs);
  const waitMs = Math.max(0, next - now);
  const crowded = state.waitingUntil > now;
  if (urgency === 'foreground') {
    if (waitMs > LONGEST_WAIT_MS) return { place: { granted: false, waitMs: waitMs - LONGEST_WAIT_MS }, state };
    const waitingUntil = waitMs > 0 ? now + waitMs : state.waitingUntil;
    return { place: { granted: true, waitMs }, state: { ...state, next: next + intervalMs, waitingUntil } };
  }
  const backgroundWaitMs = crowded ? Math.max(0, state.nextBackground - now) : 0;
  const longest = crowded ? LONGEST_WAIT_MS : LONGEST_BACKGROUND_WAIT_MS;
  if (backgroundWaitMs > 0 || waitMs > longest) {
    return { place: { granted: false, waitMs: Math.max(backgroundWaitMs, waitMs - longest) }, state };
  }
  const nextBackground = now + 2 * intervalMs;
  return { place: { granted: true, waitMs }, state: { ...state, next: next + intervalMs, nextBackground } };
}
