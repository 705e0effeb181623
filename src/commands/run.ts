import { ConfigError } from '../config/environment.ts';
import { closeOnSignal } from './close-on-signal.ts';
import { type Terminal, UsageError } from './terminal.ts';

type Command = (args: readonly string[], terminal: Terminal) => Promise<void>;

/** Loaded when called: the service need not wait for what it does not use. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serve,
  demo: async () => (await import('./demo.ts')).demo,
  'simulate-vendor': async () => {
    const { simulateVendor } = await import('./simulate-vendor.ts');
    return async (args, { env, out }) => {
      const { close } = await simulateVendor([...args], env, out);
      closeOnSignal(close);
    };
  },
  check: async () => {
    const { check } = await import('./check.ts');
    // At once: a name that is still being looked up would keep the process for as long as the resolver likes.
    return async (args, terminal) => process.exit(await check(args, terminal));
  },
  sign: async () => (await import('./sign.ts')).sign,
  rekey: async () => {
    const { rekey } = await import('./rekey.ts');
    return async (args, terminal) => process.exit(await rekey(args, terminal));
  },
  openapi: async () => (await import('./openapi.ts')).openapi,
};

const HELP = `sdk-token-broker: hands a camera app's SDK its vendor token

Usage: sdk-token-broker [command] [options]

  serve             the service, configured by the environment (default)
  demo              everything in one process, to see it work; needs no configuration
  simulate-vendor   the vendor, simulated, on a port
  check             whether settings, Redis, sessions and vendor are well, and how to mend what is not
  sign              what a signed login looks like, to settle a 10007 with the vendor
  rekey             what lies in Redis re-encrypted under the first of TOKEN_ENCRYPTION_KEYS
  openapi           the OpenAPI document of the public API

Options: --help (after a command too), --version
Every setting is listed in .env.example.`;

const HELP_FLAGS: readonly (string | undefined)[] = ['--help', '-h'];
/** Their help is that of all. */
const WITHOUT_OWN_HELP: readonly string[] = ['serve', 'demo', 'openapi'];

/**
 * Runs the command the arguments name.
 * @returns the exit code: 0, 1 when the command failed, 2 when it was called wrongly
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name = 'serve', ...rest] = args;
  const isHelp = HELP_FLAGS.includes(name) || name === 'help';
  if (isHelp || (WITHOUT_OWN_HELP.includes(name) && HELP_FLAGS.includes(rest[0]))) return say(terminal, HELP);
  if (name === '--version' || name === '-v') return say(terminal, terminal.version);
  try {
    const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!load) throw new UsageError(`There is no command "${name}". There are: ${Object.keys(COMMANDS).join(', ')}`);
    await (await load())(rest, terminal);
    return 0;
  } catch (error) {
    terminal.err(explain(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

function say({ out }: Terminal, text: string): number {
  out(text);
  return 0;
}

function explain(error: unknown): string {
  if (error instanceof UsageError || error instanceof ConfigError) return error.message;
  if (!(error instanceof Error)) return String(error);
  return 'code' in error ? `${error.message} (${String(error.code)})` : error.message;
}
