import type { StatusReport } from '../src/http/status-report.ts';
import { outcomeGroups, sumOfLast } from './outcome-groups.ts';

/** `bad`: apps are affected, or will be soon. `warn`: look at it. */
export type Level = 'ok' | 'warn' | 'bad';

/** Something that the status shows, with the facts that its sentence needs. Times are ISO 8601. */
export type Finding =
  | { readonly kind: 'storeDown'; readonly since: string | null; readonly reason: string | null }
  | { readonly kind: 'storeLostData' | 'storeWentBack'; readonly at: string }
  | { readonly kind: 'signatureRefused' | 'clockRefused'; readonly host: string; readonly since: string }
  | {
      readonly kind: 'appRefused';
      readonly host: string;
      readonly since: string;
      readonly vendorCode: number | undefined;
    }
  | {
      readonly kind: 'vendorDown';
      readonly host: string;
      readonly since: string | null;
      readonly reason: string;
    }
  | {
      readonly kind: 'vendorFails';
      readonly host: string;
      readonly since: string;
      readonly reason: string;
      /** Of this replica at all domains, in the last 10 minutes. */
      readonly logins: { readonly failed: number; readonly all: number };
    }
  | { readonly kind: 'vendorBroken'; readonly host: string; readonly since: string; readonly reason: string }
  | { readonly kind: 'sessionServerFails' | 'keysNotFetched'; readonly since: string; readonly reason: string }
  | { readonly kind: 'sessionsRefused' | 'readsFail'; readonly count: number; readonly share: number }
  | { readonly kind: 'internalErrors'; readonly count: number }
  | { readonly kind: 'overdue'; readonly seconds: number; readonly count: number }
  | { readonly kind: 'budgetSpent'; readonly waiting: number }
  | { readonly kind: 'clockOff'; readonly host: string; readonly seconds: number };

export type FindingKind = Finding['kind'];

interface Rule {
  readonly level: Exclude<Level, 'ok'>;
  /** A heading of docs/runbooks.md. */
  readonly runbook: string;
}

/** The most urgent first: the first finding is the verdict. */
export const RULES: Readonly<Record<FindingKind, Rule>> = {
  storeDown: { level: 'bad', runbook: 'SdkTokenBrokerRedisTrouble' },
  signatureRefused: { level: 'bad', runbook: 'SdkTokenBrokerVendorRefusesLogins' },
  clockRefused: { level: 'bad', runbook: 'SdkTokenBrokerVendorRefusesLogins' },
  appRefused: { level: 'bad', runbook: 'SdkTokenBrokerVendorRefusesLogins' },
  vendorDown: { level: 'bad', runbook: 'SdkTokenBrokerVendorDomainDown' },
  sessionServerFails: { level: 'bad', runbook: 'SdkTokenBrokerSessionChecksUnavailable' },
  sessionsRefused: { level: 'bad', runbook: 'SdkTokenBrokerSessionsRefused' },
  internalErrors: { level: 'bad', runbook: 'SdkTokenBrokerInternalErrors' },
  vendorBroken: { level: 'bad', runbook: 'SdkTokenBrokerVendorAnswersBroken' },
  readsFail: { level: 'bad', runbook: 'SdkTokenBrokerReadsFail' },
  storeLostData: { level: 'warn', runbook: 'SdkTokenBrokerRedisLostData' },
  storeWentBack: { level: 'warn', runbook: 'SdkTokenBrokerRedisLostData' },
  keysNotFetched: { level: 'warn', runbook: 'SdkTokenBrokerSessionChecksUnavailable' },
  overdue: { level: 'warn', runbook: 'SdkTokenBrokerRenewalsOverdue' },
  vendorFails: { level: 'warn', runbook: 'The vendor is down' },
  budgetSpent: { level: 'warn', runbook: 'SdkTokenBrokerLoginBudgetSpent' },
  clockOff: { level: 'warn', runbook: 'SdkTokenBrokerVendorClockOff' },
};

const ORDER = Object.keys(RULES) as FindingKind[];

const SIGNATURE_REFUSED = 10007;
/** The limits of the alerting rules in deploy/prometheus/rules.yml. The console warns a little earlier. */
const OVERDUE_SECONDS = 60;
const CLOCK_OFF_SECONDS = 30;
const LOGIN_MINUTES = 10;
const REFUSED_SESSIONS = { minutes: 10, share: 0.5, least: 10 };
const UNCHECKED_SESSIONS_MINUTES = 5;
/** If the JWKS cannot be fetched, the broker uses the last one for so long. */
const KNOWN_KEYS_MS = 3_600_000;
/** How long the console shows that Redis has lost data: an operator who looks once a day sees it. */
const DATA_LOSS_MS = 86_400_000;
const FAILED_READS = { minutes: 5, share: 0.05, least: 3 };

/** Everything that needs a look, the most urgent first. An empty list: all is well. */
export function findingsOf(status: StatusReport): readonly Finding[] {
  const findings = [
    ...storeFindings(status),
    ...status.vendorDomains.flatMap((domain) => domainFindings(domain, status.lastHour)),
    ...sessionFindings(status),
    ...readFindings(status),
    ...scheduleFindings(status),
  ];
  return findings.sort((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind));
}

function storeFindings({ at: now, store }: StatusReport): Finding[] {
  const findings: Finding[] = store.reachable
    ? []
    : [{ kind: 'storeDown', since: store.failingSince, reason: store.lastFailure?.reason ?? null }];
  if (!store.lastDataLoss) return findings;
  const { at, history } = store.lastDataLoss;
  if (Date.parse(now) - Date.parse(at) >= DATA_LOSS_MS) return findings;
  return [...findings, { kind: history === 'lost' ? 'storeLostData' : 'storeWentBack', at }];
}

type Domain = StatusReport['vendorDomains'][number];
type LastHour = StatusReport['lastHour'];

function domainFindings(domain: Domain, lastHour: LastHour): Finding[] {
  const { host, clockOffsetSeconds: seconds } = domain;
  const offset: Finding[] = Math.abs(seconds) > CLOCK_OFF_SECONDS ? [{ kind: 'clockOff', host, seconds }] : [];
  const failure = loginFinding(domain, lastHour);
  return failure ? [failure, ...offset] : offset;
}

/** The trouble with the logins of a domain, if there is any. A refusal that concerns one account is no trouble of the domain. */
export function loginFinding(
  { host, circuit, lastFailure, failingSince: since }: Domain,
  lastHour: LastHour,
): Finding | undefined {
  const reason = lastFailure?.reason ?? '';
  if (circuit !== 'closed') return { kind: 'vendorDown', host, since, reason };
  if (since === null) return undefined;
  switch (reason) {
    case 'configuration': {
      const vendorCode = lastFailure?.vendorCode;
      return vendorCode === SIGNATURE_REFUSED
        ? { kind: 'signatureRefused', host, since }
        : { kind: 'appRefused', host, since, vendorCode };
    }
    case 'clock_skew':
      return { kind: 'clockRefused', host, since };
    case 'broken_answer':
    case 'too_large':
      return { kind: 'vendorBroken', host, since, reason };
    // They concern one account, or only the pace.
    case 'request':
    case 'account_closed':
    case 'too_frequent':
    case 'busy':
      return undefined;
    default:
      return { kind: 'vendorFails', host, since, reason, logins: recentLogins(lastHour) };
  }
}

function recentLogins(lastHour: LastHour): { readonly failed: number; readonly all: number } {
  const sums = outcomeGroups(lastHour, 'logins').map(({ name, counts }) => ({
    name,
    sum: sumOfLast(LOGIN_MINUTES, counts),
  }));
  return {
    failed: sums.find(({ name }) => name === 'failed')?.sum ?? 0,
    all: sums.reduce((all, { sum }) => all + sum, 0),
  };
}

/** In mode `jwt`, a fetch that fails matters only if no known key fits a session. */
function sessionServerFindings({ at, sessions: { mode, server }, lastHour }: StatusReport): Finding[] {
  if (!server?.failingSince) return [];
  const { failingSince: since, lastFailure, lastSuccessAt } = server;
  const hasKeys = mode === 'jwt' && Date.parse(at) - Date.parse(lastSuccessAt ?? '') < KNOWN_KEYS_MS;
  const unchecked = sumOfLast(UNCHECKED_SESSIONS_MINUTES, lastHour.sessions['session_check_unavailable'] ?? []);
  const kind = hasKeys && unchecked === 0 ? 'keysNotFetched' : 'sessionServerFails';
  return [{ kind, since, reason: lastFailure?.reason ?? '' }];
}

function sessionFindings(status: StatusReport): Finding[] {
  const { lastHour } = status;
  const failing = sessionServerFindings(status);
  const { minutes, share: most, least } = REFUSED_SESSIONS;
  const counts = outcomeGroups(lastHour, 'sessions').map(
    (group) => [group.name, sumOfLast(minutes, group.counts)] as const,
  );
  const count = new Map(counts).get('refused') ?? 0;
  const share =
    count /
    Math.max(
      1,
      counts.reduce((sum, [, one]) => sum + one, 0),
    );
  return count >= least && share > most ? [...failing, { kind: 'sessionsRefused', count, share }] : failing;
}

function readFindings({ lastHour }: StatusReport): Finding[] {
  const { minutes, share: most, least } = FAILED_READS;
  const internal = sumOfLast(minutes, lastHour.reads['internal'] ?? []);
  const findings: Finding[] = internal > 0 ? [{ kind: 'internalErrors', count: internal }] : [];
  const counts = outcomeGroups(lastHour, 'reads').map(
    (group) => [group.name, sumOfLast(minutes, group.counts)] as const,
  );
  const count = new Map(counts).get('failed') ?? 0;
  const share =
    count /
    Math.max(
      1,
      counts.reduce((sum, [, one]) => sum + one, 0),
    );
  return count >= least && share > most ? [...findings, { kind: 'readsFail', count, share }] : findings;
}

function scheduleFindings({ schedule, loginBudget }: StatusReport): Finding[] {
  const findings: Finding[] = [];
  if (schedule && schedule.oldestOverdueSeconds > OVERDUE_SECONDS) {
    findings.push({ kind: 'overdue', seconds: schedule.oldestOverdueSeconds, count: schedule.due.now });
  }
  const { used, waiting } = loginBudget;
  if (waiting !== null && waiting > 0 && used !== null && used >= 0.9) findings.push({ kind: 'budgetSpent', waiting });
  return findings;
}
