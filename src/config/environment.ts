import { readFileSync } from 'node:fs';
import { VARIABLES, type Values, type Variable, type VariableName } from './variables.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** By the variable's name, so that none is reported twice. */
export type Problems = Map<string, string>;

/** What is wrong with the environment: every problem, by the variable's name, without the values of secrets. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The configuration is not usable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** Every variable's value; what is wrong with any of them goes into `problems`. */
export function readVariables(environment: Environment, problems: Problems): Values {
  const names = Object.keys(VARIABLES) as VariableName[];
  return Object.fromEntries(names.map((name) => [name, readVariable(name, environment, problems)])) as Values;
}

function readVariable(name: VariableName, environment: Environment, problems: Problems): unknown {
  const variable: Variable<unknown> = VARIABLES[name];
  const text = given(name, variable, environment, problems) ?? variable.default;
  if (text === undefined) return undefined;
  const parsed = variable.schema.safeParse(text);
  if (parsed.success) return parsed.data;
  problems.set(name, `${name} must be ${variable.allowed}${variable.secret ? '' : `, not ${quoted(text)}`}`);
  return variable.default && variable.schema.parse(variable.default);
}

/** As it was given, but for what a URL may hold between `//` and `@`. */
function quoted(text: string): string {
  return JSON.stringify(text.replace(/\/\/[^/]*@/g, '//…@'));
}

/** An empty variable counts as not set, as compose files leave them; an empty file is a mistake. */
function given(
  name: VariableName,
  { secret }: Variable<unknown>,
  environment: Environment,
  problems: Problems,
): string | undefined {
  const text = environment[name] || undefined;
  const path = secret && environment[`${name}_FILE`];
  if (!path) return text;
  if (text) {
    problems.set(name, `${name} and ${name}_FILE are both set: set one of them`);
    return undefined;
  }
  try {
    const content = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
    if (content) return content;
    problems.set(name, `${name}_FILE names a file that is empty`);
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? error.code : 'unknown error';
    problems.set(name, `${name}_FILE names a file that cannot be read (${reason})`);
  }
  return undefined;
}

/** The values of `names`, unless one is missing: then `problems` says which. */
export function required<N extends VariableName>(
  values: Values,
  names: readonly N[],
  problems: Problems,
): { [K in N]: NonNullable<Values[K]> } | undefined {
  const missing = names.filter((name) => values[name] === undefined);
  for (const name of missing) {
    if (!problems.has(name)) problems.set(name, `${name} is required: ${VARIABLES[name].allowed}`);
  }
  return missing.length > 0 ? undefined : (values as { [K in N]: NonNullable<Values[K]> });
}
