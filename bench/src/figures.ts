/** A measured value. For several rounds, their median. */
export interface Figure {
  /** For example `requests`. */
  readonly label: string;
  readonly value: number;
  /** For example `/s`, `ms`, `MB`. */
  readonly unit: string;
  /** The measured peer, if the scenario measures several: `broker`, `bare`, … */
  readonly peer?: string;
}

/** A target of the broker, and whether the run met it. */
export interface Comparison {
  readonly claim: string;
  readonly target: string;
  readonly measured: string;
  readonly met: boolean;
}

const SIGNS = {
  atLeast: { sign: '≥', holds: (value: number, bound: number) => value >= bound },
  atMost: { sign: '≤', holds: (value: number, bound: number) => value <= bound },
};

export interface Target {
  readonly claim: string;
  readonly value: number;
  readonly is: keyof typeof SIGNS;
  readonly bound: number;
  readonly unit: string;
  /** Decimal places. Default: 2. */
  readonly digits?: number;
  /** Another figure about the same claim, as text. */
  readonly beside?: string;
}

/** Compares a value with its target, and formats both. */
export function compare({ claim, value, is, bound, unit, digits = 2, beside }: Target): Comparison {
  const { sign, holds } = SIGNS[is];
  const space = unit === '' ? '' : ' ';
  return {
    claim,
    target: `${sign} ${bound}${space}${unit}`,
    measured: `${value.toFixed(digits)}${space}${unit}${beside ? ` (${beside})` : ''}`,
    met: holds(value, bound),
  };
}
