import { readConfigParts } from '../config/config.ts';
import { userAgentOf } from '../session/session-server.ts';
import { raceTimeout, systemClock } from '../token/clock.ts';
import { type CheckResult, fail } from './checks/check-result.ts';
import { checkSession, checkSessions, readSession } from './checks/sessions.ts';
import { checkSettings } from './checks/settings.ts';
import { checkStore } from './checks/store.ts';
import { checkVendor } from './checks/vendor.ts';
import { type CommandContext, parseFlags, UsageError } from './command-line.ts';
import { chooseLogin, LOGIN_FLAGS_HELP, LOGIN_OPTIONS, readLogin } from './login-flags.ts';

const HELP = `sdk-token-broker check [--session [FILE]] [--login --union-id ID --unique-id ID --region CC [--app NAME]]

Checks that the service can run with this environment: the settings, Redis, the session keys or the session server,
and every vendor domain. For each problem it says how to fix it. It shows no secret and takes at most 15 s.

The check of the vendor is a signed call with an empty country. The vendor verifies the signature and then refuses the
call, so no account is logged in. This does not test the appToken.

  --session [FILE]     also check a session of an app: print its account, or the reason of the refusal, for each claim.
                       The file, or standard input, holds the token, or the request headers that make up the session,
                       one per line, for example: echo 'Cookie: sid=…' | sdk-token-broker check --session
                       The session is not printed. Erasures are not looked up. It fetches the session keys anew, but a
                       running broker may still have older keys with the same kid, for at most 10 minutes
  --login              make a real login instead, which also tests the appToken. It may end the session of the SDK on
                       that phone: use a test account
${LOGIN_FLAGS_HELP}

Exit code 0: no check failed. Exit code 1: a check failed.`;

const OPTIONS = {
  ...LOGIN_OPTIONS,
  session: { type: 'string' },
  login: { type: 'boolean', default: false },
} as const;

/** The `check` command. @returns the exit code. @throws UsageError, HelpRequested */
export async function check(args: readonly string[], { env, version, out, err }: CommandContext): Promise<number> {
  const { login: isRealLogin, session: file, ...flags } = parseFlags(withFile(args), OPTIONS, HELP);
  const [loginFlag] = Object.keys(flags);
  if (loginFlag && !isRealLogin) throw new UsageError(`--${loginFlag} requires --login\n\n${HELP}`);
  const login = isRealLogin ? readLogin(flags, HELP) : undefined;

  const headers = file === undefined ? undefined : await readSession(file, process.stdin, err);

  const parts = readConfigParts(env);
  const { vendor, session, store } = parts;
  const access = { clock: systemClock, userAgent: userAgentOf(version) };
  const chosenLogin = vendor && login && chooseLogin(login, vendor);
  const checks = [
    finish('configuration', Promise.resolve(checkSettings(parts, env['NODE_ENV']))),
    store && finish('Redis', checkStore(store.redis, systemClock)),
    session && finish('sessions', checkSessions(session, access)),
    session && headers && finish('session', checkSession({ ...parts, session }, headers, access)),
    vendor && finish('vendor', checkVendor(vendor, systemClock, chosenLogin)),
  ];
  const results = (await Promise.all(checks)).flatMap((partial) => partial ?? []);
  out(report(results));
  return results.some(({ level }) => level === 'FAIL') ? 1 : 0;
}

/** `--session` without a file reads standard input. */
function withFile(args: readonly string[]): string[] {
  return args.flatMap((arg, at) => {
    const next = args[at + 1];
    return arg === '--session' && (next === undefined || next.startsWith('--')) ? [arg, '-'] : [arg];
  });
}

/** Longer than the timeouts of all requests of one check together. */
const CHECK_TIMEOUT_MS = 12_000;

/** Never rejects: a check that throws or takes too long is a failed check. */
async function finish(name: string, check: Promise<readonly CheckResult[]>): Promise<readonly CheckResult[]> {
  try {
    const timedOut = { detail: `no result after ${CHECK_TIMEOUT_MS / 1_000} s`, fix: 'Run the check again.' };
    return (await raceTimeout(systemClock, CHECK_TIMEOUT_MS, check)) ?? [fail(name, timedOut)];
  } catch (error) {
    // The message of the error may contain secrets.
    const detail = `the check itself failed (${error instanceof Error ? error.name : typeof error})`;
    return [fail(name, { detail, fix: 'This is a bug of the broker. Please report it.' })];
  }
}

/** One line for each result, a second line with the fix for each problem, and the number of results by level. */
function report(results: readonly CheckResult[]): string {
  const width = Math.max(...results.map(({ name }) => name.length));
  const lines = results.flatMap((result) => {
    const line = `${result.level.padEnd(4)}  ${result.name.padEnd(width)}  — ${result.detail}`;
    return result.level === 'ok' ? [line] : [line, `      To fix it: ${result.fix}`];
  });
  const count = (level: CheckResult['level']) => results.filter((result) => result.level === level).length;
  const summary = `${count('ok')} ok, ${plural(count('warn'), 'warning')}, ${plural(count('FAIL'), 'failure')}`;
  return [...lines, '', summary].join('\n');
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
