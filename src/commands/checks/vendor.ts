import type { VendorConfig } from '../../config/vendor-config.ts';
import type { Clock } from '../../token/clock.ts';
import { VendorFault } from '../../vendor/fault.ts';
import type { VendorApp } from '../../vendor/vendor-app.ts';
import { type ClockReading, probeVendor, type VendorExchange } from '../../vendor/vendor-probe.ts';
import type { ChosenLogin } from '../login-flags.ts';
import { type Finding, fail, ok, warn } from './finding.ts';
import { faultTrouble, loginFinding, signedCallFinding } from './vendor-verdict.ts';

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
