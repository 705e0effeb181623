import { isUtf8 } from 'node:buffer';
import { createHash, createHmac } from 'node:crypto';
import { readFileSync, statSync, watchFile } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Text } from '../token/text.ts';
import { PROBLEMS } from './problems.ts';
import { isBare } from './value-schemas.ts';
import { BARE, VARIABLES, type Values, type Variable, type VariableName } from './variables.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Keyed by the name of the variable, so that each variable is reported once. */
export type Problems = Map<string, Text>;

/** Names every problem of the environment. No problem shows the value of a secret. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The configuration is not usable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** Reads the values of all variables, and adds a problem for each variable that is not valid. */
export function readVariables(environment: Environment, problems: Problems): Values {
  const names = Object.keys(VARIABLES) as VariableName[];
  return Object.fromEntries(names.map((name) => [name, readVariable(name, environment, problems)])) as Values;
}

function readVariable(name: VariableName, environment: Environment, problems: Problems): unknown {
  const variable: Variable<unknown> = VARIABLES[name];
  const text = readText(name, variable, environment, problems) ?? variable.default;
  if (text === undefined) return undefined;
  const parsed = variable.schema.safeParse(text);
  // JSON may stand in a block of YAML, which ends with a line break.
  const isWrapped = !variable.secret && !isBare(text) && !text.trimStart().startsWith('{');
  if (parsed.success && !isWrapped) return parsed.data;
  // In a URL that is not valid, nobody can tell which part is the password.
  const mayShow = !mayHoldSecret(variable) && !/\/\/|@/.test(text);
  const { en, zh } = variable.allowed;
  const allowed = isWrapped ? { en: `${en}, ${BARE.en}`, zh: `${zh}，${BARE.zh}` } : variable.allowed;
  problems.set(name, PROBLEMS.notAllowed(name, allowed, mayShow ? beginningOf(text) : undefined));
  return variable.default && variable.schema.parse(variable.default);
}

/** An environment variable may have 128 KB. */
function beginningOf(text: string): string {
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
}

const SHOWN_LENGTH = 100;

/** A URL may contain a password. */
function mayHoldSecret({ secret, isUrl }: Variable<unknown>): boolean {
  return secret === true || isUrl === true;
}

/** An empty variable counts as not set, because compose files produce empty variables. An empty file is an error. */
function readText(
  name: VariableName,
  { secret, hasLowerCaseName }: Variable<unknown>,
  environment: Environment,
  problems: Problems,
): string | undefined {
  const text = (hasLowerCaseName && environment[name.toLowerCase()]) || environment[name] || undefined;
  const path = environment[`${name}_FILE`];
  if (!path) return text;
  if (!secret) {
    problems.set(name, PROBLEMS.fileOfNoSecret(name));
    return text;
  }
  if (text) {
    problems.set(name, PROBLEMS.valueAndFile(name));
    return undefined;
  }
  try {
    // A device such as /dev/zero has no end, and a FIFO blocks the broker until another process writes to it.
    const bytes = statSync(path).isFile() ? readFileSync(path) : Buffer.of();
    const content = bytes.toString().replace(/\r?\n$/, '');
    if (content && isUtf8(bytes)) return content;
    problems.set(name, PROBLEMS.unusableFile(name, path));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const uid = code === 'EACCES' ? process.geteuid?.() : undefined;
    problems.set(name, uid === undefined ? PROBLEMS.unreadableFile(name, code) : PROBLEMS.forbiddenFile(name, uid));
  }
  return undefined;
}

/** How often each file with a secret is looked at. */
const WATCH_MS = 1_000;
/** How long all of them must stay the same after a change. Longer than the time between two looks. */
const QUIET_MS = 2_000;

/**
 * Calls `onChange` once the files that hold secrets have changed, and have then stayed the same. It asks for the state
 * of each file: Kubernetes replaces a folder behind a symbolic link, and a notice of the file system does not reach
 * every mount. Keeps no process alive.
 * @returns once it has seen the state of each file. Secrets must be read after that, so that no later change is missed
 */
export async function watchSecretFiles(environment: Environment, onChange: () => void): Promise<void> {
  const variables: [string, Variable<unknown>][] = Object.entries(VARIABLES);
  const paths = variables.flatMap(([name, { secret }]) => (secret && environment[`${name}_FILE`]) || []);
  let quiet: NodeJS.Timeout | undefined;
  for (const path of paths) {
    watchFile(path, { interval: WATCH_MS, persistent: false }, () => {
      clearTimeout(quiet);
      quiet = setTimeout(onChange, QUIET_MS).unref();
    });
  }
  // watchFile does not say when it has taken its first look. Node.js takes these later ones after it.
  await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
}

/** @returns the values of `names`; `undefined` if one is missing, and `problems` then names it */
export function required<N extends VariableName>(
  values: Values,
  names: readonly N[],
  problems: Problems,
): { [K in N]: NonNullable<Values[K]> } | undefined {
  const missing = names.filter((name) => values[name] === undefined);
  for (const name of missing) {
    if (!problems.has(name)) problems.set(name, PROBLEMS.required(name, VARIABLES[name].allowed));
  }
  return missing.length > 0 ? undefined : (values as { [K in N]: NonNullable<Values[K]> });
}

const DIGEST_LENGTH = 12;

/**
 * A digest of the settings, for comparing replicas. It is shown, so nobody may find a secret by trying guesses.
 * Therefore secrets count only if there are encryption keys: these have 256 random bits, and the digest is an HMAC
 * under all of them. Without them, the digest is of the other settings alone.
 */
export function configurationDigest(values: Values): string {
  const { TOKEN_ENCRYPTION_KEYS: keys = [] } = values;
  const counted = (Object.keys(VARIABLES) as VariableName[]).filter((name) => {
    const variable: Variable<unknown> = VARIABLES[name];
    return !variable.replicasMayDiffer && (keys.length > 0 || !mayHoldSecret(variable));
  });
  const text = JSON.stringify(counted.map((name) => [name, values[name]]));
  const hash =
    keys.length === 0
      ? createHash('sha256')
      : createHmac('sha256', Buffer.concat([Buffer.from('configuration'), ...keys.map(({ key }) => key)]));
  return hash.update(text).digest('hex').slice(0, DIGEST_LENGTH);
}

/**
 * The key that encrypts, and a digest of each key that decrypts: whether replicas can read each other's tokens. As with
 * {@link configurationDigest}, the random bits of a key protect it.
 */
export function keyRingOf(keys: readonly { readonly id: string; readonly key: Buffer }[]) {
  const digests = keys.map(({ key }) => createHmac('sha256', key).update('key ring').digest('hex').slice(0, 8));
  return { id: keys[0]?.id ?? 'off', digests: keys.length > 0 ? digests : ['off'] };
}
