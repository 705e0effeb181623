import type { Comparison } from './scenario.ts';

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
  /** Digits after the point. */
  readonly digits?: number;
  /** Another figure that speaks to the same, in words. */
  readonly beside?: string;
}

/** Whether a figure is what it is to be, in words. */
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
