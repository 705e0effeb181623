import { type CommandContext, closeOnSignal, HelpRequested, UsageError } from './command-line.ts';

type Run = (args: readonly string[], context: CommandContext) => Promise<void>;

interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** Loads the code of the command. A command loads only its own code, so that the service starts faster. */
  readonly load: () => Promise<Run>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  serve: {
    summary: 'run the service (default)',
    load: loadServe,
  },
  demo: {
    summary: 'run the broker with a simulated vendor and customer cloud; needs no configuration',
    load: async () => (await import('./demo.ts')).demo,
  },
  'simulate-vendor': {
    summary: 'run a simulated vendor',
    load: async () => (await import('./simulate-vendor.ts')).simulateVendor,
  },
  check: {
    summary: 'check the settings, Redis, sessions and the vendor, and say how to fix what is wrong',
    load: async () => exitAfter((await import('./check.ts')).check),
  },
  sign: {
    summary: 'print a signed login, to settle the vendor error 10007',
    load: async () => (await import('./sign.ts')).sign,
  },
  rekey: {
    summary: 're-encrypt the records in Redis with the first key of TOKEN_ENCRYPTION_KEYS',
    load: async () => exitAfter((await import('./rekey.ts')).rekey),
  },
  openapi: {
    summary: 'print the OpenAPI document of the public API',
    load: async () => (await import('./openapi.ts')).openapi,
  },
};

const HELP = `sdk-token-broker gives the SDK of a camera app its vendor token.

Usage: sdk-token-broker [command] [options]

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(18)}${summary}`)
  .join('\n')}

Options: --help (also after a command), --version
.env.example lists every setting.`;

/** Runs the named command. @returns the exit code: 0, 1 if the command failed, 2 if the command line was wrong */
export async function run(args: readonly string[], context: CommandContext): Promise<number> {
  const [name = 'serve', ...rest] = args;
  try {
    if (['--help', '-h', 'help'].includes(name)) context.out(HELP);
    else if (name === '--version' || name === '-v') context.out(context.version);
    else await runCommand(name, rest, context);
    return 0;
  } catch (error) {
    if (error instanceof HelpRequested) {
      context.out(error.message);
      return 0;
    }
    context.err(describe(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

async function runCommand(name: string, args: readonly string[], context: CommandContext): Promise<void> {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    throw new UsageError(`There is no command "${name}". The commands are: ${Object.keys(COMMANDS).join(', ')}`);
  }
  const runLoaded = await command.load();
  await runLoaded(args, context);
}

/**
 * Loading takes half of the start. A signal meanwhile ends the process: as process 1 of the image, it would get no
 * SIGTERM without a listener. SIGHUP does not end it, because `serve` reads the secrets afterwards.
 */
async function loadServe(): Promise<Run> {
  process.on('SIGHUP', () => undefined);
  closeOnSignal(async () => undefined, undefined, ['SIGHUP']);
  return (await import('./serve.ts')).serve;
}

/** Ends the process as soon as the command is done. A pending DNS lookup would otherwise keep it alive. */
function exitAfter(command: (args: readonly string[], context: CommandContext) => Promise<number>): Run {
  return async (args, context) => process.exit(await command(args, context));
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error ? `${error.message} (${String(error.code)})` : error.message;
}
