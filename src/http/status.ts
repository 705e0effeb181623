import { type Clock, withTimeout } from '../token/clock.ts';
import type { Contact, VendorDomain } from '../token/contact-history.ts';
import { type Finding, type FindingCode, levelOf, runbookOf } from '../token/findings.ts';
import type { LeftSummary, ScheduleOutlook, TokenStore } from '../token/ports.ts';
import { isoTime } from './documented-responses.ts';
import type { ContactState, StatusReport } from './routes/status.ts';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** How long one report answers every caller, so that many callers cost no more than one. */
const CACHE_MS = 1_000;
/** How long a report waits for the store. */
const STORE_TIMEOUT_MS = 1_000;

/** Now, the ends of the next 24 hours, and those of the next 30 days. */
const HOURS_MS = Array.from({ length: 25 }, (_, hour) => hour * HOUR_MS);
const DAYS_MS = Array.from({ length: 30 }, (_, day) => (day + 1) * DAY_MS);
const HORIZONS_MS = [...HOURS_MS, ...DAYS_MS];

/** How long the first end of a token is shown: to find it, the store looks at up to 50,000 tokens. */
const FIRST_END_MS = { least: 10_000, most: 60_000 };

interface CountedFailures {
  /** Counts by code. */
  within(minutes: number): Readonly<Record<string, number>>;
}

interface FleetReport extends Pick<StatusReport, 'replicas' | 'tokensEnded'> {
  readonly findings: readonly Finding[];
}

export interface StatusOptions {
  readonly version: string;
  readonly replica: string;
  readonly clock: Clock;
  readonly store: Pick<TokenStore, 'health' | 'dueQueue' | 'loginQueue' | 'replicas'>;
  /** Logins per second over all replicas; 0: no limit. */
  readonly loginsPerSecond: number;
  /** Login requests of this replica per second, in the recent past. */
  readonly loginsSentPerSecond: () => number;
  readonly cache: { readonly size: number; readonly bytes: number };
  readonly vendorDomains: () => readonly VendorDomain[];
  /** `undefined`: the store is in this process. */
  readonly redis: { readonly contact: Contact } | undefined;
  /** Ids of the key ring. */
  readonly encryptionKeys: () => string[];
  /** The server is `undefined` if session checks need none. */
  readonly sessions: { readonly mode: string; readonly server: Contact | undefined };
  /** Reports on the fleet. A part that the store does not answer is `undefined`. */
  readonly fleet: {
    report(others: readonly LeftSummary[] | undefined, outlook: ScheduleOutlook | undefined): FleetReport;
  };
  readonly counts: Readonly<Record<'failedRequests' | 'failedRenewals', CountedFailures>> & {
    lastHour(): StatusReport['lastHour'];
  };
}

/** Reports the state of the service for `GET /status`. */
export function createStatus(options: StatusOptions) {
  const { store, fleet, version, replica, clock, cache, redis, sessions, counts, loginsSentPerSecond } = options;
  const { vendorDomains, encryptionKeys } = options;
  let firstEndAt: number | undefined;
  /** By the monotonic clock. */
  let nextEndAt = Number.NEGATIVE_INFINITY;
  let cached: { readonly until: number; readonly report: Promise<StatusReport> } | undefined;
  const startedAt = isoTime(clock.now());
  return { report, findings };

  /** Never fails: a value that cannot be read is `null`. It asks the store at most once per second. */
  function report(): Promise<StatusReport> {
    const now = clock.monotonic();
    if (!cached || now >= cached.until) cached = { until: now + CACHE_MS, report: ask() };
    return cached.report;
  }

  /** What each scrape shows. Never fails. */
  async function findings(): Promise<readonly Finding[]> {
    return (await askFleet()).findings;
  }

  async function askFleet() {
    const [others, outlook] = await Promise.all([
      answerOf(store.replicas.others()),
      answerOf(store.dueQueue.outlook(HORIZONS_MS)),
    ]);
    return { ...fleet.report(others, outlook), outlook };
  }

  async function ask(): Promise<StatusReport> {
    askForFirstEnd();
    const [{ outlook, ...fleet }, isReachable, nextPlace] = await Promise.all([
      askFleet(),
      answerOf(store.health.ping().then(() => true)),
      answerOf(store.loginQueue.nextPlaceInMs().then((ms) => ({ ms }))),
    ]);
    const { failedRequests, failedRenewals } = counts;
    const isFound = (codes: readonly FindingCode[], name?: string) =>
      fleet.findings.some(({ code, host = name }) => codes.includes(code) && host === name);
    return {
      version,
      replica,
      at: isoTime(clock.now()),
      startedAt,
      findings: fleet.findings.map((finding) => {
        const { since, replicas, ...facts } = finding;
        const named = replicas && { replicas: [...replicas] };
        return { level: levelOf(finding), ...facts, ...named, since: isoTime(since), runbook: runbookOf(finding.code) };
      }),
      replicas: fleet.replicas,
      tokensEnded: fleet.tokensEnded,
      firstEndAt: firstEndAt === undefined ? null : isoTime(firstEndAt),
      vendorDomains: vendorDomains().map(({ host, circuit, clockOffsetMs, ...contact }) => {
        const fails = isFound(['vendor_rejects', 'vendor_down', 'vendor_fails_logins'], host);
        return { host, circuit, clockOffsetSeconds: clockOffsetMs / SECOND_MS, ...contactReport(contact, fails) };
      }),
      loginBudget: loginBudgetReport(nextPlace),
      store: {
        kind: redis ? 'redis' : 'memory',
        reachable: isReachable === true,
        encryptionKeys: encryptionKeys(),
        ...contactReport(redis?.contact ?? {}, !isReachable || isFound(['redis_unreachable', 'redis_refuses_writes'])),
      },
      sessions: {
        mode: sessions.mode,
        server: sessions.server ? contactReport(sessions.server, isFound(['session_check_fails'])) : null,
      },
      schedule: outlook ? scheduleReport(outlook) : null,
      memory: { tokens: cache.size, bytes: cache.bytes },
      recentFailures: { requests: failureReport(failedRequests), backgroundRenewals: failureReport(failedRenewals) },
      lastHour: counts.lastHour(),
    };
  }

  /** Returns `undefined` if the store fails, or does not answer in time. */
  function answerOf<Answer>(asked: Promise<Answer>): Promise<Answer | undefined> {
    const settled = asked.catch(() => undefined);
    return withTimeout(clock, STORE_TIMEOUT_MS, settled);
  }

  /** With many tokens, only a later report has the answer. */
  function askForFirstEnd(): void {
    if (clock.monotonic() < nextEndAt) return;
    const askedAt = clock.monotonic();
    nextEndAt = askedAt + FIRST_END_MS.most;
    store.dueQueue.firstEnd().then(
      (at) => {
        firstEndAt = at;
        // An answer that is past tells nothing any more.
        const leftMs = (at ?? 0) - clock.now();
        if (leftMs > 0) nextEndAt = askedAt + Math.min(FIRST_END_MS.most, Math.max(FIRST_END_MS.least, leftMs));
      },
      () => {
        firstEndAt = undefined;
        nextEndAt = Number.NEGATIVE_INFINITY;
      },
    );
  }

  function loginBudgetReport(nextPlace: { readonly ms: number | undefined } | undefined): StatusReport['loginBudget'] {
    const perSecond = options.loginsPerSecond;
    if (perSecond === 0) return { perSecond: null, used: null, waiting: null };
    const used = Math.min(1, Math.round((loginsSentPerSecond() / perSecond) * 100) / 100);
    if (!nextPlace) return { perSecond, used, waiting: null };
    // The last login in the queue has the place before the next free one.
    const aheadMs = (nextPlace.ms ?? 0) - SECOND_MS / perSecond;
    return { perSecond, used, waiting: Math.max(0, Math.ceil((aheadMs * perSecond) / SECOND_MS)) };
  }
}

function scheduleReport({ dueWithin, total, overdueMs }: ScheduleOutlook): StatusReport['schedule'] {
  const [now = 0, ...hours] = dueWithin.slice(0, HOURS_MS.length);
  const days = dueWithin.slice(HOURS_MS.length);
  const [in1h, in24h, in7d, in30d] = [hours[0] ?? 0, hours[23] ?? 0, days[6] ?? 0, days[29] ?? 0];
  return {
    due: { now, in1h, in24h, in7d, in30d },
    next24Hours: differences(hours),
    next30Days: differences(days),
    total,
    oldestOverdueSeconds: overdueMs / SECOND_MS,
  };
}

/** The difference of each count to the one before it. */
function differences(counts: readonly number[]): number[] {
  return counts.map((count, at) => count - (counts[at - 1] ?? 0));
}

function failureReport(counted: CountedFailures) {
  return { last5Minutes: counted.within(5), last60Minutes: counted.within(60) };
}

function contactReport({ lastSuccessAt, lastFailure, lastRefusal, failingSince }: Partial<Contact>, fails: boolean) {
  const state: ContactState = fails ? 'fails' : failingSince === undefined ? 'works' : 'last_try_failed';
  const last = (lastRefusal?.at ?? 0) > (lastFailure?.at ?? 0) ? lastRefusal : lastFailure;
  return {
    state,
    lastSuccessAt: lastSuccessAt === undefined ? null : isoTime(lastSuccessAt),
    lastFailure: last ? { ...last, at: isoTime(last.at) } : null,
    failingSince: failingSince === undefined ? null : isoTime(failingSince),
  };
}
