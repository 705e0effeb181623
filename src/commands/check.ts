import { parseArgs } from 'node:util';
import { readConfigParts } from '../config/config.ts';
import { systemClock } from '../token/clock.ts';
import { raceTimeout } from '../token/time-budget.ts';
import { type Finding, fail } from './checks/finding.ts';
import { checkPorts } from './checks/ports.ts';
import { checkSessions } from './checks/sessions.ts';
import { checkSettings } from './checks/settings.ts';
import { checkStore } from './checks/store.ts';
import { checkVendor } from './checks/vendor.ts';
import { LOGIN_OPTIONS, readLogin } from './login-flags.ts';
import { type Terminal, UsageError } from './terminal.ts';

/** Longer than the deadlines of all that a check does, one after another. */
const LIMIT_MS = 12_000;

/** A check's findings; a failure of the check itself is a finding too, and so is one that does not come to an end. */
async function bounded(what: string, check: Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    const findings = await raceTimeout(systemClock, LIMIT_MS, check);
    return findings ?? [fail(what, { detail: `not known after ${LIMIT_MS / 1_000} s`, mend: 'run the check again' })];
  } catch (error) {
    // Its message may hold anything.
    const detail = `the check itself failed (${error instanceof Error ? error.name : typeof error})`;
    return [fail(what, { detail, mend: 'this is a fault of the broker: please report it' })];
  }
}

/** A line for each finding, below it how to mend what is wrong, and at the end how many there are of each level. */
function report(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ what }) => what.length));
  const lines = findings.flatMap((finding) => {
    const line = `${finding.level.padEnd(4)}  ${finding.what.padEnd(width)}  — ${finding.detail}`;
    return finding.level === 'ok' ? [line] : [line, `      → ${finding.mend}`];
  });
  const count = (level: Finding['level']) => findings.filter((finding) => finding.level === level).length;
  const [warnings, failures] = [count('warn'), count('FAIL')];
  const sum = `${count('ok')} ok, ${counted(warnings, 'warning')}, ${counted(failures, 'failure')}`;
  return [...lines, '', sum].join('\n');
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

const HELP = `sdk-token-broker check [--login --union-id ID --unique-id ID --region CC [--app NAME]]

Looks at what the service would meet with this environment: its settings, Redis, the sessions' keys or server, every
domain of the vendor, the ports. Says what is wrong and how to mend it, and shows no secret. Takes 15 s at most.
Exit code 0: nothing failed; 1: something did.

The vendor is sent a signed call that it must refuse for its empty country: its signature is checked, nobody is logged
in. With --login it is a real login, which alone proves that the appToken is right. It may end the SDK's session on
that terminal, so use an account of your own.`;

const OPTIONS = {
  ...LOGIN_OPTIONS,
  login: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** The `check` command. @returns the exit code. @throws UsageError */
export async function check(args: readonly string[], { env, out }: Terminal): Promise<number> {
  const { login: isReal, help, ...flags } = readFlags(args);
  if (help) {
    out(HELP);
    return 0;
  }
  const stray = Object.keys(flags)[0];
  if (stray && !isReal) throw new UsageError(`--${stray} is for a real login: add --login\n\n${HELP}`);
  const choose = isReal ? readLogin(flags, HELP) : undefined;

  const parts = readConfigParts(env);
  const { vendor, session, store } = parts;
  const login = vendor && choose?.(vendor);
  const checks = [
    bounded('configuration', Promise.resolve(checkSettings(parts, env['NODE_ENV']))),
    store && bounded('Redis', checkStore(store.redis, systemClock)),
    session && bounded('sessions', checkSessions(session, systemClock)),
    vendor && bounded('vendor', checkVendor(vendor, systemClock, login)),
    bounded('ports', checkPorts(parts)),
  ];
  const findings = (await Promise.all(checks)).flatMap((found) => found ?? []);
  out(report(findings));
  return findings.some(({ level }) => level === 'FAIL') ? 1 : 0;
}

function readFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  }
}
