import type { ScenarioResult } from '../scenario.ts';

/** What `bench/results.json` holds. */
export interface Results {
  /** ISO 8601. */
  readonly measuredAt: string;
  /** What it was measured on and with, each by name. */
  readonly machine: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly seconds: number;
  readonly scenarios: Readonly<Record<string, ScenarioResult>>;
}
