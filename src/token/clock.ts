/** The only source of time and randomness. Tests replace it. */
export interface Clock {
  /** Epoch ms. */
  now(): number;
  /** Uniform in [0, 1). Not for secrets. */
  random(): number;
}

export const systemClock: Clock = { now: () => Date.now(), random: () => Math.random() };
