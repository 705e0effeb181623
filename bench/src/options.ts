import { parseArgs } from 'node:util';

/** In the order they run and are reported. */
const SCENARIOS = ['warm', 'cold', 'mixed', 'storm', 'renewal', 'memory', 'start'] as const;

export interface BenchOptions {
  /** Counts instead of measuring. */
  readonly smoke: boolean;
  readonly scenarios: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  /** Whether this is the run whose figures are kept: every scenario, as often and as long as by default. */
  readonly complete: boolean;
}

/** Rather more rounds than longer ones: what disturbs a machine lasts for seconds, and a median leaves it out. */
const DEFAULTS = { rounds: 9, seconds: 1 };

/** @throws Error that says what is allowed */
export function readOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { rounds: { type: 'string' }, seconds: { type: 'string' }, smoke: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const unknown = positionals.filter((name) => !SCENARIOS.some((scenario) => scenario === name));
  if (unknown.length > 0) throw new Error(`No such scenario: ${unknown.join(', ')}. There are ${SCENARIOS.join(', ')}`);
  return {
    smoke: values.smoke,
    scenarios: positionals.length > 0 ? SCENARIOS.filter((name) => positionals.includes(name)) : SCENARIOS,
    rounds: count('rounds', values.rounds),
    seconds: count('seconds', values.seconds),
    complete: args.length === 0,
  };
}

function count(name: keyof typeof DEFAULTS, text: string | undefined): number {
  if (text === undefined) return DEFAULTS[name];
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 60) return value;
  throw new Error(`--${name} must be a whole number from 1 to 60`);
}
