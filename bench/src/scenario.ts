import type { Comparison, Figure } from './figures.ts';

export interface ScenarioResult {
  readonly figures: readonly Figure[];
  readonly comparisons: readonly Comparison[];
  /** Sentences that a reader needs in order to judge the figures. */
  readonly notes?: readonly string[];
}

export interface ScenarioContext {
  /** Number of turns of every peer. */
  readonly rounds: number;
  /** Duration of a turn, for scenarios that measure by time. The warm-up comes in addition. */
  readonly seconds: number;
  /** Shows a line of progress. */
  readonly say: (line: string) => void;
}

/** Each module in `scenarios/` exports one scenario as `scenario`. The file has the scenario's name. */
export interface Scenario {
  readonly name: string;
  /** @throws Error if the run is invalid, for example because a request failed */
  run(context: ScenarioContext): Promise<ScenarioResult>;
}

/** Content of `bench/results.json`. */
export interface Results {
  /** ISO 8601. */
  readonly measuredAt: string;
  /** Hardware and versions, by name. */
  readonly machine: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly seconds: number;
  readonly scenarios: Readonly<Record<string, ScenarioResult>>;
}
