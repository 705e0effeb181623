/** A measured value. For several rounds, their median. */
export interface Figure {
  /** For example `requests`. */
  readonly label: string;
  readonly value: number;
  /** For example `/s`, `ms`, `MB`. */
  readonly unit: string;
  /** What was measured: `broker`, `bare`, … Default: `broker`. */
  readonly peer?: string;
}

/** A target of the broker, and whether the run met it. */
export interface Comparison {
  readonly claim: string;
  readonly target: string;
  readonly measured: string;
  readonly met: boolean;
}

export interface ScenarioResult {
  readonly figures: readonly Figure[];
  readonly comparisons: readonly Comparison[];
}

interface ScenarioContext {
  /** Number of turns of every process. */
  readonly rounds: number;
  /** Duration of a turn, for scenarios that measure by time. The warm-up comes in addition. */
  readonly seconds: number;
  /** Shows a line of progress. */
  readonly say: (line: string) => void;
}

/**
 * Each module in `scenarios/` exports one as `scenario`. The file has the scenario's name.
 * @throws Error if the run is invalid, for example because a request failed
 */
export type Scenario = (context: ScenarioContext) => Promise<ScenarioResult>;

export interface Target {
  readonly claim: string;
  readonly value: number;
  readonly is: '≥' | '≤';
  readonly bound: number;
  readonly unit: string;
  /** Another figure about the same claim, as text. */
  readonly beside?: string;
}

/** Compares a value with its target, and formats both: ratios with two decimal places. */
export function compare({ claim, value, is, bound, unit, beside }: Target): Comparison {
  const shown = `${value.toFixed(unit === '×' ? 2 : 0)} ${unit}`.trim();
  return {
    claim,
    target: `${is} ${bound} ${unit}`.trim(),
    measured: beside ? `${shown} (${beside})` : shown,
    met: is === '≥' ? value >= bound : value <= bound,
  };
}
