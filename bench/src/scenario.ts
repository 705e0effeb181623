/** What was measured; over several rounds, their median. */
export interface Figure {
  /** What it is of, e.g. `requests`. */
  readonly label: string;
  readonly value: number;
  /** E.g. `/s`, `ms`, `MB`. */
  readonly unit: string;
  /** Who was measured, where several were: `broker`, `bare`, … */
  readonly peer?: string;
}

/** Something the broker is to be, and whether it was. */
export interface Comparison {
  readonly claim: string;
  readonly target: string;
  readonly measured: string;
  readonly met: boolean;
}

export interface ScenarioResult {
  readonly figures: readonly Figure[];
  readonly comparisons: readonly Comparison[];
  /** What a reader has to know to judge them, a sentence each. */
  readonly notes?: readonly string[];
}

export interface ScenarioContext {
  /** How often every peer takes its turn. */
  readonly rounds: number;
  /** How long a turn is measured, where it is measured by time; what warms up comes on top. */
  readonly seconds: number;
  /** Shows a line to whoever waits. */
  readonly say: (line: string) => void;
}

/** Each module in `scenarios/` exports one as `scenario`, under the name of its file. */
export interface Scenario {
  readonly name: string;
  /** @throws Error when the run is not valid, e.g. when an answer failed */
  run(context: ScenarioContext): Promise<ScenarioResult>;
}
