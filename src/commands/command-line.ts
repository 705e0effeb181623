import { type ParseArgsConfig, parseArgs } from 'node:util';
import closeWithGrace from 'close-with-grace';
import type { Environment } from '../config/environment.ts';
import type { Log } from '../token/log.ts';
import { LANGUAGES, type Language } from '../token/text.ts';

/** The command line is wrong. The message says how, and what is allowed. The process ends with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The input and output of a command. */
export interface CommandContext {
  readonly env: Environment;
  /** Version of the service. */
  readonly version: string;
  readonly out: (line: string) => void;
  readonly err: (line: string) => void;
}

/** The command line asks for help. The message is the text to print. The process ends with exit code 0. */
export class HelpRequested extends Error {
  override readonly name = 'HelpRequested';
}

/** @param help text for `--help`. It also follows the message of a UsageError. @throws UsageError, HelpRequested */
export function parseFlags<const T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: T,
  help: string,
) {
  try {
    const all = { ...options, help: { type: 'boolean', short: 'h' } } as const;
    const { values } = parseArgs({ args: [...args], options: all, strict: true });
    if ('help' in values) throw new HelpRequested(help);
    return values;
  } catch (error) {
    if (error instanceof HelpRequested) throw error;
    throw new UsageError(`${error instanceof Error ? error.message : error}\n\n${help}`);
  }
}

export const LANG_OPTION = { lang: { type: 'string' } } as const;

/**
 * The language of `--lang`, else of the terminal, in the order of POSIX. Known first: other errors show the help.
 * @throws UsageError if `--lang` names no language
 */
export function languageOf(args: readonly string[], { LC_ALL, LC_MESSAGES, LANG }: Environment): Language {
  const { lang } = parseArgs({ args: [...args], options: LANG_OPTION, strict: false }).values;
  if (typeof lang !== 'string') return /^zh/i.test(LC_ALL || LC_MESSAGES || LANG || '') ? 'zh' : 'en';
  const language = LANGUAGES.find((one) => one === lang);
  if (language === undefined) throw new UsageError(`--lang must be one of ${LANGUAGES.join(', ')}`);
  return language;
}

const WIDE = /[\p{Script=Han}\u3000-\u303f\uff00-\uff60]/gu;

/** The width of a text in columns of a terminal, where a Chinese character takes two. */
export function columnsOf(text: string): number {
  return text.length + (text.match(WIDE)?.length ?? 0);
}

/** After this time, in ms, the process exits even if `close` has not finished. */
const FORCED_EXIT_MS = 12_000;

let forgetSignals = (): void => undefined;

/**
 * On SIGTERM, SIGINT and similar signals, calls `close` and exits with 0. On an uncaught error, calls `close` and exits
 * with 1, also if `close` fails. A second signal exits at once. A further call of this function replaces `close`.
 * @param skip signals with another meaning
 */
export function closeOnSignal(close: () => Promise<void>, log?: Log, skip: 'SIGHUP'[] = []): void {
  // A command that fails ends with its own exit code, when it has nothing more to do.
  const options = { delay: FORCED_EXIT_MS, logger: false as const, skip: [...skip, 'beforeExit' as const] };
  const { uninstall } = closeWithGrace(options, async ({ err, signal }) => {
    if (!err) log?.info({ signal }, 'closing');
    else if (log) log.error({ err }, 'uncaught error: closing');
    else process.stderr.write(`${err.stack}\n`);
    await close();
    log?.info({}, 'closed');
  });
  // After the new listeners are there, so that no signal is lost between.
  forgetSignals();
  forgetSignals = uninstall;
}
