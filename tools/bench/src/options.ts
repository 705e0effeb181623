import { parseArgs } from 'node:util';

/** In the order of the run and of the report. */
const SCENARIOS = ['first', 'warm', 'day', 'storm', 'renewal', 'start'];

/** @throws Error that names the allowed values */
export function readOptions(args: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      // Many short rounds, because a disturbance of the machine lasts for seconds. `day` joins them.
      rounds: { type: 'string', default: '9' },
      seconds: { type: 'string', default: '1' },
      smoke: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const unknown = positionals.filter((name) => !SCENARIOS.includes(name));
  if (unknown.length > 0) throw new Error(`Unknown scenario: ${unknown.join(', ')}. Allowed: ${SCENARIOS.join(', ')}`);
  return {
    /** Counts operations per read instead of measuring time. */
    smoke: values.smoke,
    scenarios: positionals.length > 0 ? SCENARIOS.filter((name) => positionals.includes(name)) : SCENARIOS,
    rounds: count('rounds', values.rounds),
    seconds: count('seconds', values.seconds),
    /** Whether the figures are saved. Only a run of all scenarios with the default rounds and seconds is saved. */
    complete: args.length === 0,
  };
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 60) return value;
  throw new Error(`--${name} must be a whole number from 1 to 60`);
}
