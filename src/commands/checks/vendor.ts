import type { VendorConfig } from '../../config/config.ts';
import type { Clock } from '../../token/clock.ts';
import { probeVendor, type VendorExchange } from '../../vendor-api/exchange.ts';
import { VendorFault } from '../../vendor-api/faults.ts';
import type { VendorApp } from '../../vendor-api/signed-call.ts';
import type { ChosenLogin } from '../login-flags.ts';
import { type CheckResult, fail, networkProblem, ok, type Problem, warn } from './check-result.ts';

/** Upper limit of an attempt in ms, whatever VENDOR_TIMEOUT_MS says: there may be two attempts. */
const MAX_ATTEMPT_MS = 5_000;

/** Differences of the clocks above which the check warns, and fails. */
const WARN_OFFSET_MS = 30_000;
const MAX_OFFSET_MS = 120_000;

/** The account of the signed call. The vendor refuses the call, so this name matters only if it does not. */
const CHECK_ACCOUNT = 'sdk-token-broker-check';

/**
 * Checks every domain of the vendor, its clock, and every app there. The check of an app is a signed call without a
 * country: the vendor verifies its signature, but cannot log anyone in. `login` replaces one of these calls with a real
 * login.
 */
export async function checkVendor(
  vendor: VendorConfig,
  clock: Clock,
  login: ChosenLogin | undefined,
): Promise<CheckResult[]> {
  const domains = new Map([vendor.baseUrl, ...vendor.regionUrls.values()].map((url) => [url.href, url]));
  const timeoutMs = Math.min(vendor.timeoutMs, MAX_ATTEMPT_MS);
  const checks = [...domains.values()].map(async (domain) => {
    const calls = [...vendor.apps.values()].map(async (app) => {
      const isLogin = login?.domain.href === domain.href && login.app === app;
      const call = isLogin ? login : callWithoutCountry(domain, app);
      return { app, isLogin, outcome: await probeVendor(call, timeoutMs, clock).catch(asFault) };
    });
    return resultsOf(domain.host, await Promise.all(calls));
  });
  return (await Promise.all(checks)).flat();
}

interface Call {
  readonly app: VendorApp;
  readonly isLogin: boolean;
  readonly outcome: VendorExchange | VendorFault;
}

function callWithoutCountry(domain: URL, app: VendorApp): ChosenLogin {
  return { domain, app, subject: { app: app.name, unionId: CHECK_ACCOUNT, uniqueId: CHECK_ACCOUNT }, region: '' };
}

function asFault(error: unknown): VendorFault {
  if (error instanceof VendorFault) return error;
  throw error;
}

function resultsOf(host: string, calls: readonly Call[]): CheckResult[] {
  const name = `vendor ${host}`;
  const [answer] = calls.flatMap(({ outcome }) => (outcome instanceof VendorFault ? [] : [outcome]));
  const [fault] = calls.flatMap(({ outcome }) => (outcome instanceof VendorFault ? [outcome] : []));
  if (!answer) return fault ? [fail(name, faultProblem(fault, host))] : [];
  return [
    ok(name, `answered in ${answer.roundTripMs} ms`),
    clockResult(`clock of ${host}`, answer.offsetMs),
    ...calls.map(({ app, isLogin, outcome }) => {
      const callName = `${isLogin ? 'login' : 'app'} ${app.name} at ${host}`;
      if (outcome instanceof VendorFault) return fail(callName, faultProblem(outcome, host));
      return isLogin ? loginResult(callName, outcome) : signedCallResult(callName, outcome);
    }),
  ];
}

function clockResult(name: string, offsetMs: number | undefined): CheckResult {
  if (offsetMs === undefined) {
    const fix = 'Make sure that no proxy removes the header. Without it, the broker cannot notice a wrong clock.';
    return warn(name, { detail: 'the answer has no Date header', fix });
  }
  if (offsetMs === 0) return ok(name, 'agrees with the clock of this machine');
  const detail = `${Math.abs(Math.round(offsetMs / 1_000))} s ${offsetMs > 0 ? 'ahead of' : 'behind'} this machine`;
  if (Math.abs(offsetMs) <= WARN_OFFSET_MS) return ok(name, detail);
  const fix =
    'Set the clock of this machine by NTP (chrony, systemd-timesyncd). The vendor refuses a difference above 300 s.';
  return Math.abs(offsetMs) <= MAX_OFFSET_MS ? warn(name, { detail, fix }) : fail(name, { detail, fix });
}

/** Judges the answer to the call without a country (docs/vendor-login.md, "Result codes"). */
function signedCallResult(name: string, exchange: VendorExchange): CheckResult {
  const { code, kind } = exchange;
  switch (kind) {
    case 'request':
      return ok(
        name,
        `signature accepted: the vendor refuses only the empty country (${code}); only a real login (--login) tests the appToken`,
      );
    case 'success':
    case 'account_closed':
      return ok(name, `signature and app accepted (${code})`);
    case 'too_frequent':
    case 'unknown':
      return warn(name, refusalProblem(exchange));
    case 'clock_skew':
    case 'configuration':
    case 'maintenance':
      return fail(name, refusalProblem(exchange));
  }
}

function loginResult(name: string, exchange: VendorExchange): CheckResult {
  if (!exchange.token) return fail(name, refusalProblem(exchange));
  const { fields, issuedAt, expiresAt } = exchange.token;
  const end = fields['accessId']?.slice(-4);
  return ok(name, `succeeded: accessId …${end}, a token for ${duration(expiresAt - issuedAt)}`);
}

function refusalProblem({ code, reason, kind }: VendorExchange): Problem {
  switch (kind) {
    case 'request':
      return {
        detail: `the vendor refuses a field of the login (${code})`,
        fix: 'Correct --union-id, --unique-id or --region.',
      };
    case 'account_closed':
      return { detail: `the vendor has closed this account (${code})`, fix: 'Use another --union-id.' };
    case 'too_frequent':
      return { detail: `the vendor says that calls are too frequent (${code})`, fix: RETRY_LATER };
    case 'maintenance':
      return { detail: `the vendor is under maintenance (${code})`, fix: RETRY_LATER };
    case 'unknown':
      return {
        detail: `the vendor refuses with an unknown code (${code})`,
        fix: 'Ask the vendor what the code means. A real login (--login) may still succeed.',
      };
  }
  if (code === 10_007) return signatureProblem(reason);
  return APP_PROBLEMS[code] ?? { detail: `the vendor refuses the call (${code})`, fix: 'Ask the vendor why.' };
}

const RETRY_LATER = 'Wait a minute, then run the check again.';

const APP_PROBLEMS: Readonly<Record<number, Problem>> = {
  10901050: {
    detail: 'the vendor says that the identity of the app is wrong (10901050)',
    fix: 'Correct its appToken (VENDOR_APP_TOKEN or VENDOR_APPS). appId, appToken and appKey must belong to one app.',
  },
  10901051: { detail: 'the vendor has frozen the app (10901051)', fix: 'Ask the vendor to unfreeze it.' },
  10901052: {
    detail: 'the vendor does not know the app (10901052)',
    fix: 'Correct its appId, and its accessId if you set one. Some apps are known at one domain only.',
  },
};

function signatureProblem(reason: string | undefined): Problem {
  const shown = `(10007${reason === undefined ? '' : `:${reason}`})`;
  switch (reason) {
    case '-2':
      return {
        detail: `the vendor refuses the timestamp, even one by its own Date header ${shown}`,
        fix: 'Set the clock of this machine by NTP. If it is right, ask the vendor about its clock.',
      };
    case '-1':
      return {
        detail: `the vendor cannot read the body of the call ${shown}`,
        fix: 'Make sure that no proxy changes the request: its bytes are signed.',
      };
    default:
      return {
        detail: `the vendor says that the signature is wrong ${shown}`,
        fix: 'Correct its appKey (VENDOR_APP_KEY or VENDOR_APPS), and its accessId if you set one. Make sure that no proxy changes the Host header. The command `sign` prints a signed login to compare with the vendor.',
      };
  }
}

/** Explains why there is no valid answer. */
function faultProblem({ kind, facts }: VendorFault, address: string): Problem {
  const setting = 'VENDOR_BASE_URL or VENDOR_REGION_URLS';
  const { httpStatus, problem = 'unknown' } = facts;
  if (kind === 'timeout') return networkProblem('timeout', { address, setting });
  if (kind === 'unreachable') return networkProblem(problem, { address, setting });
  if (kind === 'outage') return { detail: `${address} answers HTTP ${httpStatus} without a result`, fix: RETRY_LATER };
  const status = httpStatus === undefined ? '' : ` (HTTP ${httpStatus}; ${problem})`;
  return {
    detail: `${address} does not answer with the vendor's protocol${status}`,
    fix: `Correct ${setting}. Its path must be the part before /openapi/…. Make sure that no proxy answers instead of the vendor.`,
  };
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
