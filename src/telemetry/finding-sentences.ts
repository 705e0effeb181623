import type { Finding, FindingCode, FindingFacts } from '../token/findings.ts';
import { type FoundFacts, SECOND_MS, THRESHOLDS } from './finding-facts.ts';
import { firstOf } from './fleet-findings.ts';

const REFUSALS: Readonly<Record<string, string>> = {
  oom: 'its memory is full: give it more',
  readonly: 'it is read-only: it is no master, or too few replicas follow it',
  misconf: 'it cannot save its data to its disk',
  noperm: 'its user lacks a right: run check',
};

const SESSION_FAULTS: Readonly<Record<string, string>> = {
  session_expired: 'have expired',
  unknown_key: 'are signed with an unknown key, or wrongly',
};

const DAY_S = 24 * 60 * 60;

type Sentence = (facts: FindingFacts, part: (fact: unknown, text: string) => string) => string;

const SENTENCES: Readonly<Record<FindingCode, Sentence>> = {
  redis_unreachable: ({ reason }, part) =>
    `Redis does not answer${part(reason, ` (${reason})`)}. Tokens come from memory: do not restart the replicas.`,
  redis_refuses_writes: ({ reason = '' }) =>
    `Redis refuses writes, because ${REFUSALS[reason] ?? 'of a fault of its own'}. Apps still get tokens: do not restart the replicas.`,
  vendor_rejects: ({ host, reason, vendorCode, share }, part) =>
    reason === 'request'
      ? `The vendor refuses ${part(share, `${percent(share)} of the `)}logins${part(vendorCode, `, most with code ${vendorCode}`)}. Ask the vendor why.`
      : `The vendor${part(host, ` at ${host}`)} refuses your app, its signature or your clock` +
        `${part(share, ` in ${percent(share)} of the logins`)}` +
        `${part(reason, ` (${reason}${part(vendorCode, ` ${vendorCode}`)})`)}. Run check.`,
  vendor_down: ({ host, reason }, part) =>
    `No login succeeds at the vendor${part(host, ` at ${host}`)}${part(reason, ` (${reason})`)}. Run check, then ask the vendor.`,
  accounts_closed: ({ count, share }, part) =>
    `The vendor has closed accounts: ${part(count, `${count} `)}within six minutes${part(share, `, in ${percent(share)} of the logins`)}. Ask the vendor why. They have no token any more.`,
  session_check_fails: ({ reason, share }, part) =>
    `Sessions cannot be checked${part(share, `: ${percent(share)} of the checks fail`)}${part(reason, ` (${reason})`)}. Repair your session server, or the way to it.`,
  sessions_refused: ({ share, usualShare, reason = '' }, part) =>
    `${part(share, `${percent(share)} of the`) || 'Most'} sessions are refused${part(usualShare, `, ${percent(usualShare)} in the hour before`)}${part(SESSION_FAULTS[reason], `: most ${SESSION_FAULTS[reason]}`)}. Try one with check --session.`,
  vendor_fails_logins: ({ share, reason }, part) =>
    `The vendor fails ${part(share, `${percent(share)} of the `)}logins${part(reason, `, most with ${reason}`)}. Ask the vendor.`,
  reads_fail: ({ share, reason }, part) =>
    `${part(share, `${percent(share)} of the reads`) || 'Reads'} fail${part(reason, `, most with ${reason}`)}. See the log.`,
  tokens_ended: ({ count }, part) =>
    `${part(count, many(count, 'token')) || 'Some tokens'} in use ended without a renewal in the last hour. Look for the cause above, or in the last failures of the vendor and of Redis.`,
  redis_lost_data: () =>
    'Redis came back without its data. The replicas write back what they remember. Repeat your erasures.',
  redis_went_back: () =>
    'Redis came back with older data. The replicas write back what they remember. Repeat the erasures since that data.',
  renewals_late: ({ seconds, count }, part) =>
    `Renewals are ${part(seconds, `${seconds} s `)}late${part(count, `, and ${many(count, 'token')} ${count === 1 ? 'waits' : 'wait'}`)}. Compare VENDOR_MAX_RPS with what falls due.`,
  renewals_end_tokens: ({ count }, part) =>
    `The vendor refused valid tokens${part(count, ` of ${many(count, 'account')}`)} that background renewals had replaced. If it ends a token at the next login of its terminal, set REFRESH_MODE=on-demand. Reads of due tokens then wait for the vendor.`,
  vendor_slow: ({ share }, part) =>
    `${part(share, `${percent(share)} of the logins`) || 'Logins'} take more than ${THRESHOLDS.slowLoginMs / SECOND_MS} s at the vendor. Ask the vendor.`,
  replica_missing: ({ replicas = [] }) =>
    `Replicas do not answer: ${replicas.join(', ')}. Each has ended without a shutdown, hangs, or cannot reach Redis. See which.`,
  configuration_differs: ({ count, reason, replicas = [] }) =>
    reason !== undefined
      ? `Replicas cannot read each other's tokens, because they encrypt with different keys: ${reason}. Give each of them all keys.`
      : `${count === undefined ? 'The versions or configurations differ between' : 'Replicas have another version or configuration:'} ${replicas.join(', ')}. Finish the roll-out, or reload the secrets.`,
  clock_differs: ({ host, seconds, replicas = ['this host'] }, part) =>
    `The clocks of ${replicas.join(', ')} and of ${host ?? 'Redis'} differ${part(seconds, ` by ${Math.abs(seconds ?? 0)} s`)}. Correct NTP.`,
  certificate_ends: ({ host = 'a server', seconds = THRESHOLDS.certificateMs / SECOND_MS }) =>
    `The certificate of ${host} ${seconds > 0 ? `ends within ${many(Math.ceil(seconds / DAY_S), 'day')}` : 'has ended'}. Renew it.`,
};

function many(count = 0, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function percent(share = 0): string {
  return `${Math.round(share * 100)} %`;
}

/** @param since epoch ms, if the facts do not tell */
export function asFinding({ since: known, ...found }: FoundFacts, since: number): Finding {
  const part = (fact: unknown, text: string) => (fact === undefined ? '' : text);
  const facts = { ...found, ...(found.replicas && { replicas: firstOf(found.replicas) }) };
  const lead = found.onlyDifferent
    ? `Only replicas with another version or configuration have it: ${facts.replicas?.join(', ')}. `
    : '';
  return { ...facts, message: lead + SENTENCES[found.code](facts, part), since: known ?? since };
}
