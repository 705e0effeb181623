import type { VendorConfig } from '../../config/vendor-config.ts';
import type { Clock } from '../../token/clock.ts';
import { VendorFault } from '../../vendor-api/faults.ts';
import { type ClockReading, probeVendor, type VendorExchange } from '../../vendor-api/probe.ts';
import type { VendorApp } from '../../vendor-api/signed-call.ts';
import type { ChosenLogin } from '../login-flags.ts';
import { type Finding, fail, ok, type Trouble, warn } from './finding.ts';
import { networkTrouble } from './network-trouble.ts';

const WAIT: Trouble['mend'] = 'wait a minute, and run the check again';

/** What the answer to a signed call with an empty country says (protocol.md, "Result codes"). */
function signedCallFinding(what: string, exchange: VendorExchange): Finding {
  const { code, kind } = exchange;
  const unjudged = 'the appToken is judged by a real login alone (--login)';
  switch (kind) {
    case 'request':
      return ok(what, `signature accepted: what is refused is the empty country (${code}); ${unjudged}`);
    case 'success':
    case 'account_closed':
      return ok(what, `signature and app accepted (${code})`);
    case 'too_frequent':
      return warn(what, { detail: `the vendor is asked too often to say (${code})`, mend: WAIT });
    case 'unknown':
      return warn(what, {
        detail: `the vendor refuses with a code nobody explains (${code})`,
        mend: 'see whether a real login works: --login; otherwise ask the vendor what the code means',
      });
    default:
      return fail(what, refusal(exchange));
  }
}

/** What the answer to a real login says. */
function loginFinding(what: string, exchange: VendorExchange): Finding {
  const { code, kind, token } = exchange;
  if (token) {
    const { fields, issuedAt, expiresAt } = token;
    const end = fields['accessId']?.slice(-4);
    return ok(what, `worked: accessId …${end}, a token for ${duration(expiresAt - issuedAt)}`);
  }
  switch (kind) {
    case 'request':
      return fail(what, {
        detail: `the vendor refuses a field of the login (${code})`,
        mend: 'correct --union-id, --unique-id or --region',
      });
    case 'account_closed':
      return fail(what, { detail: `the vendor has closed this account (${code})`, mend: 'take another --union-id' });
    case 'too_frequent':
      return fail(what, { detail: `the vendor is asked too often (${code})`, mend: WAIT });
    case 'unknown':
      return fail(what, {
        detail: `the vendor refuses with a code nobody explains (${code})`,
        mend: 'ask the vendor what it means',
      });
    default:
      return fail(what, refusal(exchange));
  }
}

/** What came in place of an answer. */
function faultTrouble({ kind, facts }: VendorFault, address: string): Trouble {
  const setting = 'VENDOR_BASE_URL or VENDOR_REGION_URLS';
  const { httpStatus, problem = 'unknown' } = facts;
  if (kind === 'timeout') return networkTrouble('timeout', { address, setting });
  if (kind === 'unreachable') return networkTrouble(problem, { address, setting });
  if (kind === 'outage') return { detail: `${address} answers HTTP ${httpStatus} and no result`, mend: WAIT };
  const status = httpStatus === undefined ? '' : ` (HTTP ${httpStatus}; ${problem})`;
  return {
    detail: `${address} answers something other than the vendor's protocol${status}`,
    mend: `correct ${setting}; its path must be the prefix of /openapi/…, and no proxy may answer in the vendor's place`,
  };
}

function refusal({ code, reason, kind }: VendorExchange): Trouble {
  if (kind === 'maintenance') return { detail: `the vendor is under maintenance (${code})`, mend: WAIT };
  if (code === 10_007) return signatureRefusal(reason);
  return APP_REFUSALS[code] ?? { detail: `the vendor refuses the call (${code})`, mend: 'ask the vendor why' };
}

const APP_REFUSALS: Readonly<Record<number, Trouble>> = {
  10901050: {
    detail: 'the vendor says the app is not who it says it is (10901050)',
    mend: 'correct its appToken (VENDOR_APP_TOKEN or VENDOR_APPS); appId, appToken and appKey must be of one app',
  },
  10901051: { detail: 'the vendor has frozen the app (10901051)', mend: 'ask the vendor to unfreeze it' },
  10901052: {
    detail: 'the vendor does not know the app (10901052)',
    mend: 'correct its appId, and its accessId if you set one; an app may be known at one domain and not at another',
  },
};

function signatureRefusal(reason: string | undefined): Trouble {
  const shown = `(10007${reason === undefined ? '' : `:${reason}`})`;
  switch (reason) {
    case '-2':
      return {
        detail: `the vendor refuses the timestamp, even by its own Date header ${shown}`,
        mend: "set this machine's clock by NTP; if it is right, ask the vendor about its clock",
      };
    case '-1':
      return {
        detail: `the vendor cannot read the body of the call ${shown}`,
        mend: 'let no proxy between change the request: its bytes are signed',
      };
    default:
      return {
        detail: `the vendor says the signature is wrong ${shown}`,
        mend: 'correct its appKey (VENDOR_APP_KEY or VENDOR_APPS) and its accessId, if you set one; no proxy may change the Host header. The command sign prints what to settle it with',
      };
  }
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** Most ms of an attempt, whatever the service allows itself: there may be two. */
const TIMEOUT_MS = 5_000;

/** Whoever it would be, if the vendor logged somebody in who names no country. */
const NOBODY = 'sdk-token-broker-check';

/**
 * Every domain of the vendor and every app there: whether it answers, what its clock says, and a signed call that must
 * be refused for its empty country, so that nobody is logged in; with `login` a real login in place of that call.
 */
export async function checkVendor(
  vendor: VendorConfig,
  clock: Clock,
  login: ChosenLogin | undefined,
): Promise<Finding[]> {
  const domains = new Map([vendor.baseUrl, ...vendor.regionUrls.values()].map((url) => [url.href, url]));
  const timeoutMs = Math.min(vendor.timeoutMs, TIMEOUT_MS);
  const checks = [...domains.values()].map(async (domain) => {
    const calls = [...vendor.apps.values()].map(async (app) => {
      const chosen = login?.domain.href === domain.href && login.app === app ? login : undefined;
      const parts = chosen ?? harmless(domain, app);
      const outcome = await probeVendor({ login: parts, timeoutMs, clock }).catch(asFault);
      return { app, chosen, outcome };
    });
    return findings(domain.host, await Promise.all(calls));
  });
  return (await Promise.all(checks)).flat();
}

interface Call {
  readonly app: VendorApp;
  readonly chosen: ChosenLogin | undefined;
  readonly outcome: VendorExchange | VendorFault;
}

function harmless(domain: URL, app: VendorApp): ChosenLogin {
  return { domain, app, subject: { app: app.name, unionId: NOBODY, uniqueId: NOBODY }, region: '' };
}

function asFault(error: unknown): VendorFault {
  if (error instanceof VendorFault) return error;
  throw error;
}

function findings(host: string, calls: readonly Call[]): Finding[] {
  const what = `vendor ${host}`;
  const [answer] = calls.flatMap(({ outcome }) => (outcome instanceof VendorFault ? [] : [outcome]));
  const [fault] = calls.flatMap(({ outcome }) => (outcome instanceof VendorFault ? [outcome] : []));
  if (!answer) return fault ? [fail(what, faultTrouble(fault, host))] : [];
  return [
    ok(what, `answers, in ${answer.roundTripMs} ms`),
    clockFinding(`clock of ${host}`, answer.clock),
    ...calls.map(({ app, chosen, outcome }) => {
      const name = `${chosen ? 'login' : 'app'} ${app.name} at ${host}`;
      if (outcome instanceof VendorFault) return fail(name, faultTrouble(outcome, host));
      return chosen ? loginFinding(name, outcome) : signedCallFinding(name, outcome);
    }),
  ];
}

function clockFinding(what: string, reading: ClockReading | undefined): Finding {
  if (!reading) {
    const mend = 'nothing between you and the vendor may take it away: without it a wrong clock goes unnoticed';
    return warn(what, { detail: 'the answer has no Date header to compare with', mend });
  }
  const { offsetMs, level } = reading;
  if (offsetMs === 0) return ok(what, 'agrees with ours');
  const detail = `${Math.abs(Math.round(offsetMs / 1_000))} s ${offsetMs > 0 ? 'ahead of' : 'behind'} ours`;
  if (!level) return ok(what, detail);
  const mend = "set this machine's clock by NTP (chrony, systemd-timesyncd); the vendor refuses more than 300 s";
  return level === 'warn' ? warn(what, { detail, mend }) : fail(what, { detail, mend });
}
