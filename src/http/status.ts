import { type Clock, withTimeout } from '../token/clock.ts';
import type { Contact, VendorDomain } from '../token/contact-history.ts';
import { FINDINGS, type Finding, runbookOf } from '../token/findings.ts';
import type { LeftSummary, ScheduleOutlook, TokenStore } from '../token/ports.ts';
import type { TokenEnds } from '../token/token-ends.ts';
import { isoTime } from './documented-responses.ts';
import type { StatusReport } from './routes/status.ts';

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

/** For the ends of tokens, the store looks at up to 50,000 tokens. With many tokens, only a later report has them. */
const ENDS_CACHE_MS = 60_000;
const ENDS_WAIT_MS = 20;

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

/**
 * Returns the function that gives an answer of the store that costs much and changes slowly. All callers share one
 * question, and its answer for a while. A caller waits only if the last answer is much too old.
 * @param maxAgeMs how old an answer may be. Of twice that age it is of no use: then an error of `ask` is thrown
 */
function slowAnswer<Answer>(clock: Clock, maxAgeMs: number, ask: () => Promise<Answer>): () => Promise<Answer> {
  let asking: Promise<Answer> | undefined;
  let newest: { readonly askedAt: number; readonly answer: Answer } | undefined;
  return async () => {
    const askedAt = clock.monotonic();
    const ageMs = askedAt - (newest?.askedAt ?? Number.NEGATIVE_INFINITY);
    if (newest && ageMs < maxAgeMs) return newest.answer;
    asking ??= ask()
      .then((answer) => {
        newest = { askedAt, answer };
        return answer;
      })
      .finally(() => {
        asking = undefined;
      });
    if (!newest || ageMs >= 2 * maxAgeMs) return asking;
    // The next report has the new answer.
    asking.catch(() => undefined);
    return newest.answer;
  };
}

/** Reports the state of the service for `GET /status`. */
export class Status {
  readonly #options: StatusOptions;
  readonly #startedAt: string;
  readonly #ends: () => Promise<TokenEnds>;
  #cached: { readonly until: number; readonly report: Promise<StatusReport> } | undefined;

  constructor(options: StatusOptions) {
    this.#options = options;
    this.#startedAt = isoTime(options.clock.now());
    const { clock, store } = options;
    this.#ends = slowAnswer(clock, ENDS_CACHE_MS, () => store.dueQueue.ends());
  }

  /** Never fails: a value that cannot be read is `null`. It asks the store at most once per second. */
  report(): Promise<StatusReport> {
    const now = this.#options.clock.monotonic();
    if (!this.#cached || now >= this.#cached.until) this.#cached = { until: now + CACHE_MS, report: this.#ask() };
    return this.#cached.report;
  }

  async #ask(): Promise<StatusReport> {
    const { version, replica, clock, store, cache, redis, sessions, counts } = this.#options;
    const [others, isReachable, outlook, nextPlace, ends] = await Promise.all([
      this.#answer(store.replicas.others()),
      this.#answer(store.health.ping().then(() => true)),
      this.#answer(store.dueQueue.outlook(HORIZONS_MS)),
      this.#answer(store.loginQueue.nextPlaceInMs().then((ms) => ({ ms }))),
      this.#answer(this.#ends(), ENDS_WAIT_MS),
    ]);
    const { failedRequests, failedRenewals } = counts;
    const fleet = this.#options.fleet.report(others, outlook);
    return {
      version,
      replica,
      at: isoTime(clock.now()),
      startedAt: this.#startedAt,
      findings: fleet.findings.map(({ since, replicas, ...finding }) => {
        const runbook = runbookOf(finding.code);
        const { level } = FINDINGS[finding.code];
        return { level, ...finding, ...(replicas && { replicas: [...replicas] }), since: isoTime(since), runbook };
      }),
      replicas: fleet.replicas,
      tokensEnded: fleet.tokensEnded,
      firstEndAt: ends?.firstAt === undefined ? null : isoTime(ends.firstAt),
      endsCut: ends?.isCut ?? false,
      vendorDomains: this.#options.vendorDomains().map(({ host, circuit, clockOffsetMs, ...contact }) => {
        return { host, circuit, clockOffsetSeconds: clockOffsetMs / SECOND_MS, ...contactReport(contact) };
      }),
      loginBudget: this.#loginBudget(nextPlace),
      store: {
        kind: redis ? 'redis' : 'memory',
        reachable: isReachable === true,
        encryptionKeys: this.#options.encryptionKeys(),
        ...contactReport(redis?.contact ?? {}),
      },
      sessions: { mode: sessions.mode, server: sessions.server ? contactReport(sessions.server) : null },
      schedule: outlook ? scheduleReport(outlook, ends) : null,
      memory: { tokens: cache.size, bytes: cache.bytes },
      recentFailures: { requests: failureReport(failedRequests), backgroundRenewals: failureReport(failedRenewals) },
      lastHour: counts.lastHour(),
    };
  }

  /** Returns `undefined` if the store fails, or does not answer in time. */
  #answer<Answer>(asked: Promise<Answer>, timeoutMs = STORE_TIMEOUT_MS): Promise<Answer | undefined> {
    const { clock } = this.#options;
    return withTimeout(
      clock,
      timeoutMs,
      asked.catch(() => undefined),
    );
  }

  #loginBudget(nextPlace: { readonly ms: number | undefined } | undefined): StatusReport['loginBudget'] {
    const { loginsPerSecond: perSecond, loginsSentPerSecond } = this.#options;
    if (perSecond === 0) return { perSecond: null, used: null, waiting: null };
    const used = Math.min(1, Math.round((loginsSentPerSecond() / perSecond) * 100) / 100);
    if (!nextPlace) return { perSecond, used, waiting: null };
    // The last login in the queue has the place before the next free one.
    const aheadMs = (nextPlace.ms ?? 0) - SECOND_MS / perSecond;
    return { perSecond, used, waiting: Math.max(0, Math.ceil((aheadMs * perSecond) / SECOND_MS)) };
  }
}

function scheduleReport(
  { dueWithin, total, overdueMs }: ScheduleOutlook,
  ends: TokenEnds | undefined,
): StatusReport['schedule'] {
  const [now = 0, ...hours] = dueWithin.slice(0, HOURS_MS.length);
  const days = dueWithin.slice(HOURS_MS.length);
  const [in1h, in24h, in7d, in30d] = [hours[0] ?? 0, hours[23] ?? 0, days[6] ?? 0, days[29] ?? 0];
  return {
    due: { now, in1h, in24h, in7d, in30d },
    next24Hours: differences(hours),
    next30Days: differences(days),
    endNext24Hours: ends ? [...ends.byHour] : null,
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

function contactReport({ lastSuccessAt, lastFailure, lastRefusal, failingSince }: Partial<Contact>) {
  const last = (lastRefusal?.at ?? 0) > (lastFailure?.at ?? 0) ? lastRefusal : lastFailure;
  return {
    lastSuccessAt: lastSuccessAt === undefined ? null : isoTime(lastSuccessAt),
    lastFailure: last ? { ...last, at: isoTime(last.at) } : null,
    failingSince: failingSince === undefined ? null : isoTime(failingSince),
  };
}
