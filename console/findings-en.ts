import type { StatusReport } from '../src/http/routes/status.ts';
import type { Format } from './format.ts';

export type Finding = StatusReport['findings'][number];
/** Says what is wrong, and one action. */
type Write = (
  finding: Finding,
  format: Format,
) => {
  readonly text: string;
  /** Said only while apps get no errors. */
  readonly kept?: string;
  readonly next: string;
};

const run = 'Run `node dist/main.js check`.';
const kept = 'Known tokens are served.';

function plural(count: number | undefined, one: string, many: string, f: Format): string {
  return count === undefined ? `some ${many}` : `${f.number(count)} ${count === 1 ? one : many}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Nothing if the count is not known. */
function counted(count: number | undefined, f: Format): string {
  return count === undefined ? '' : ` (${f.number(count)} lately)`;
}

function shareOf(share: number | undefined, what: string, f: Format): string {
  return share === undefined ? what : `${f.percent(share)} of the ${what}`;
}

function withReason(reason: string | undefined): string {
  return reason === undefined ? '' : `, most with ${reason}`;
}

function named(fact: string | undefined): string {
  return fact === undefined ? '' : ` (${fact})`;
}

const REFUSALS: Readonly<Record<string, string>> = {
  session_expired: '. Most have expired',
  unknown_key: '. Most are signed with an unknown key, or wrongly',
};

export type Findings = Readonly<Record<Finding['code'], Write>>;

export const FINDINGS_EN: Findings = {
  redis_unreachable: ({ reason }) => ({
    text: `Redis does not answer${named(reason)}. Known tokens come from memory.`,
    next: 'Restore Redis. Do not restart the replicas: their memory holds the tokens.',
  }),
  redis_refuses_writes: ({ reason = '' }) => {
    const why: Readonly<Record<string, string>> = {
      oom: 'its memory is full',
      readonly: 'it is read-only',
      misconf: 'it cannot save to its disk',
      noperm: 'its user lacks a right',
    };
    const next: Readonly<Record<string, string>> = {
      '': 'See why in the log of Redis. Do not restart the replicas: their memory holds the tokens.',
      readonly:
        'See which Redis is the master, and whether enough replicas follow it. Do not restart the replicas of the broker.',
      noperm: 'Run the command check. It names the rights. Do not restart the replicas: their memory holds the tokens.',
    };
    return {
      text: `Redis refuses writes${reason === '' ? '' : `: ${why[reason] ?? reason}`}. Apps still get tokens, but logouts and erasures fail.`,
      next: next[reason] ?? 'Give Redis more room. Do not restart the replicas: their memory holds the tokens.',
    };
  },
  vendor_rejects: ({ host, reason, vendorCode, share, count }, f) => {
    const isClock = reason === 'clock_skew';
    const isSignature = vendorCode === 10_007;
    const what = isClock ? 'the time in our signature' : isSignature ? 'our signature' : 'our app';
    const often = share === undefined ? '' : ` in ${shareOf(share, 'logins', f)}${counted(count, f)}`;
    const code = vendorCode === undefined ? '' : `, code ${vendorCode}`;
    if (reason === 'request') {
      const most = vendorCode === undefined ? '' : `, most with code ${vendorCode}`;
      return {
        text: `The vendor refuses ${shareOf(share, 'logins', f)}${counted(count, f)}${most}.`,
        next: 'Ask the vendor which field of these logins it refuses. The log has its request ids.',
      };
    }
    return {
      text: `The vendor${named(host)} refuses ${what}${often}${isSignature || isClock ? '' : code}.`,
      next: isClock
        ? `Correct the clock of the hosts (NTP). ${run}`
        : isSignature
          ? `${run} Compare the appKey with the vendor’s.`
          : `${run} If all is ok, the appToken is wrong or the app is frozen: \`check --login\` with a test account shows it.`,
    };
  },
  vendor_down: ({ host, reason }) => ({
    text: `No login succeeds at the vendor${named(host)}${reason ? `: ${reason}` : ''}.`,
    kept,
    next: `${run} If all is ok, only the vendor’s login service is down: tell the vendor. The broker tries again by itself.`,
  }),
  accounts_closed: ({ count, share }, f) => {
    const often = share === undefined ? '' : `, in ${shareOf(share, 'logins', f)}`;
    return {
      text: `The vendor closed ${plural(count, 'account', 'accounts', f)} in the last 6 minutes${often}. They have no token any more.`,
      next: 'Ask the vendor at once whether it meant to.',
    };
  },
  session_check_fails: ({ reason, share, count }, f) => ({
    text: `Sessions cannot be checked${named(reason)}${share === undefined ? '' : `: ${shareOf(share, 'checks', f)} fail${counted(count, f)}`}. A replica accepts those that it knows for a while, but a new one knows none.`,
    next: 'Restore your session server or its JWKS URL, or the way to it. Do not restart the replicas.',
  }),
  sessions_refused: ({ count, share, usualShare, reason = '' }, f) => ({
    text:
      `The broker refuses ${shareOf(share, 'sessions', f)}${counted(count, f)}` +
      `${usualShare === undefined ? '' : `, and refused ${f.percent(usualShare)} in the hour before`}` +
      `${REFUSALS[reason] ?? ''}. Users may be locked out.`,
    next:
      reason === 'unknown_key'
        ? 'Compare the keys of your cloud with those that the broker knows, also behind the same `kid`.'
        : 'Take a session of a new login and run `node dist/main.js check --session`.',
  }),
  vendor_fails_logins: ({ count, share, reason }, f) => ({
    text: `The vendor fails ${shareOf(share, 'logins', f)}${counted(count, f)}${withReason(reason)}.`,
    kept,
    next:
      reason === 'maintenance'
        ? 'Ask the vendor when its maintenance ends. The broker tries again by itself.'
        : `${run} If all is ok, tell the vendor the share and the reason.`,
  }),
  reads_fail: ({ count, share, reason }, f) => ({
    text: `${capital(shareOf(share, 'reads', f))} fail${counted(count, f)}${withReason(reason)}.`,
    next: 'Look at the codes under “Recent failures”, and at the log lines with this code.',
  }),
  tokens_ended: ({ count }, f) => ({
    text: `${capital(plural(count, 'token', 'tokens', f))} in use ended without a renewal in the last hour.`,
    next: 'Look for the cause in the other findings, and in the last failures under “Dependencies”.',
  }),
  redis_lost_data: () => ({
    text: 'Redis came back without its data. Each replica writes back what it remembers.',
    next: 'Let your cloud repeat its erasures: the runbook says which. Do not restart the replicas.',
  }),
  redis_went_back: () => ({
    text: 'Redis came back with older data, for example from a snapshot. Each replica writes back what it remembers.',
    next: 'Let your cloud repeat the erasures since that snapshot. Do not restart the replicas.',
  }),
  renewals_late: ({ count, seconds }, f) => ({
    text: `${capital(plural(count, 'token is', 'tokens are', f))} overdue for renewal${seconds === undefined ? '' : `, the oldest by ${f.duration(seconds * 1_000)}`}.`,
    next: 'See whether logins fail, or VENDOR_MAX_RPS is too small.',
  }),
  renewals_end_tokens: ({ count }, f) => ({
    text: `The vendor refused valid tokens of ${plural(count, 'account', 'accounts', f)} in the last day. Each had been replaced by a background renewal.`,
    next: 'Ask the vendor whether a login ends the terminal’s former token. If so, set REFRESH_MODE=on-demand: reads of due tokens then wait for the vendor.',
  }),
  vendor_slow: ({ count, share }, f) => ({
    text: `${capital(shareOf(share, 'logins', f))} take more than 3 s at the vendor${counted(count, f)}.`,
    next: 'Ask the vendor.',
  }),
  replica_missing: ({ count, replicas = [], since }, f) => ({
    text: `${count === 1 ? '1 replica does' : `${capital(plural(count, 'replica', 'replicas', f))} do`} not answer since ${f.minute(Date.parse(since))}: ${replicas.join(', ')}. ${count === 1 ? 'It' : 'Each'} has ended without a shutdown, hangs, or cannot reach Redis.`,
    next: 'See whether the process runs. If it does, repair its way to Redis. If not, see why it ended, and whether a new one took its place.',
  }),
  configuration_differs: ({ count, reason, replicas = [] }, f) => ({
    text:
      reason !== undefined
        ? `The replicas encrypt with different keys, so they cannot read each other's tokens: ${reason}.`
        : count === undefined
          ? `The versions or configurations differ between ${replicas.join(' and ')}.`
          : `${plural(count, 'replica has', 'replicas have', f)} another version or configuration: ${replicas.join(', ')}.`,
    next:
      reason !== undefined
        ? 'Append the missing keys to TOKEN_ENCRYPTION_KEYS, so that every replica has all keys.'
        : 'Finish the roll-out, or make all replicas read the secrets again.',
  }),
  clock_differs: ({ host, seconds, replicas = ['this host'] }, f) => ({
    text: `The clocks of ${replicas.join(', ')} and of ${host ?? 'Redis'} differ${seconds === undefined ? '' : ` by ${f.duration(seconds * 1_000)}`}.`,
    next: 'Correct the clock of the host (NTP).',
  }),
  certificate_ends: ({ host = 'a server', seconds = 14 * 86_400 }, f) => ({
    text: `The certificate of ${host} ${seconds > 0 ? `ends in ${f.duration(seconds * 1_000)}` : 'has ended'}. Then no new connection is possible.`,
    next: 'Renew the certificate of this server.',
  }),
};
