import { type Clock, raceTimeout, sleep } from '../token/clock.ts';
import type { Contact, VendorDomain } from '../token/contact-history.ts';
import type { ErrorCode } from '../token/errors.ts';
import type { DueQueue, LoginQueue, ScheduleOutlook, StoreHealth, StoreHistory } from '../token/ports.ts';

/** How often a replica asks a store that has not answered yet. */
const READINESS_INTERVAL_MS = 250;

export interface ReadinessReport {
  readonly ready: boolean;
  /** By dependency: `ok`, or the problem. Contains nothing confidential. */
  readonly checks: Readonly<Record<string, string>>;
}

/**
 * Reports for `GET /readyz` whether this replica should receive requests: as soon as the store has answered once. After
 * that it stays ready without the store. It then serves tokens from memory and logs in within its share of the login
 * budget.
 */
export class Readiness {
  readonly #health: StoreHealth;
  readonly #clock: Clock;
  #stopped = false;
  #hasAnswered = false;

  constructor(health: StoreHealth, clock: Clock) {
    this.#health = health;
    this.#clock = clock;
  }

  /** Checks the store until it has answered once, also without requests for a report. */
  async start(): Promise<void> {
    while (!this.#stopped && !(await this.#ping())) await sleep(this.#clock, READINESS_INTERVAL_MS);
  }

  stop(): void {
    this.#stopped = true;
  }

  async report(): Promise<ReadinessReport> {
    if (await this.#ping()) return { ready: true, checks: { store: 'ok' } };
    const store = this.#hasAnswered ? 'unreachable: serving from memory' : 'unreachable';
    return { ready: this.#hasAnswered, checks: { store } };
  }

  async #ping(): Promise<boolean> {
    const answered = await this.#health.ping().then(
      () => true,
      () => false,
    );
    this.#hasAnswered ||= answered;
    return answered;
  }
}

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** How long one report answers every caller, so that many callers cost no more than one. */
const CACHE_MS = 1_000;
/** How long a report waits for the store. */
const STORE_TIMEOUT_MS = 1_000;

const HORIZONS = { now: 0, in1h: HOUR_MS, in24h: DAY_MS, in7d: 7 * DAY_MS, in30d: 30 * DAY_MS } as const;
type Horizon = keyof typeof HORIZONS;

/** Where the finer counts end: each of the next 24 hours, and each of the next 30 days. */
const HOURS_MS = Array.from({ length: 24 }, (_, hour) => (hour + 1) * HOUR_MS);
const DAYS_MS = Array.from({ length: 30 }, (_, day) => (day + 1) * DAY_MS);
const FINER_MS = [...new Set([...HOURS_MS, ...DAYS_MS])];
/**
 * The finer counts cost ten times as much as the others, and change slowly. So the store is asked for them once in this
 * time, and a report waits for them only if the last answer is older than twice that.
 */
const FINER_CACHE_MS = 30_000;

const NO_CONTACT: Contact = { lastSuccessAt: undefined, lastFailure: undefined, failingSince: undefined };

/** Times are ISO 8601; `null`: never, or not known. */
interface ContactReport {
  readonly lastSuccessAt: string | null;
  readonly lastFailure: { readonly at: string; readonly reason: string; readonly vendorCode?: number } | null;
  /** The first failure after the last success; `null` if the last contact was a success. */
  readonly failingSince: string | null;
}

/**
 * Events per minute, by outcome as in the metrics. A list has 61 counts, the oldest first: the last hour, then the current
 * minute. Outcomes without an event are missing.
 */
type MinuteSeries = Readonly<Record<string, readonly number[]>>;
type LastHour = Readonly<Record<'reads' | 'renewals' | 'logins' | 'sessions', MinuteSeries>>;

interface FailureReport {
  readonly last5Minutes: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly last60Minutes: Readonly<Partial<Record<ErrorCode, number>>>;
}

/** The state of the service as one replica sees it. It holds nothing personal. */
export interface StatusReport {
  readonly version: string;
  /** Name of the replica: its host name, which is the pod's name in Kubernetes. */
  readonly replica: string;
  readonly at: string;
  readonly startedAt: string;
  readonly vendorDomains: readonly (ContactReport & {
    readonly host: string;
    readonly circuit: VendorDomain['circuit'];
    readonly clockOffsetSeconds: number;
  })[];
  /** `null`: there is no limit, or the store does not answer. */
  readonly loginBudget: {
    readonly perSecond: number | null;
    /** The share that this replica used in the last one to two minutes: 0 to 1. */
    readonly used: number | null;
    /** Number of logins of all replicas that wait for their place. */
    readonly waiting: number | null;
  };
  readonly store: ContactReport & {
    readonly kind: 'redis' | 'memory';
    readonly reachable: boolean;
    /** Ids of the key ring. The first key encrypts. */
    readonly encryptionKeys: readonly string[];
    /** The last time that this replica found changes missing in the store; `null`: never since its start. */
    readonly lastDataLoss: { readonly at: string; readonly history: LossHistory } | null;
  };
  readonly sessions: { readonly mode: string; readonly server: ContactReport | null };
  /** Over all replicas. `null`: the store does not answer. */
  readonly schedule: {
    readonly due: Readonly<Record<Horizon, number>>;
    /** Number of tokens that fall due in each of the next 24 hours, up to a minute ago. The first one includes what is due now. */
    readonly next24Hours: readonly number[];
    /** The same for each of the next 30 days. */
    readonly next30Days: readonly number[];
    readonly total: number;
    readonly oldestOverdueSeconds: number;
  } | null;
  readonly memory: { readonly tokens: number; readonly bytes: number };
  readonly recentFailures: { readonly requests: FailureReport; readonly backgroundRenewals: FailureReport };
  /** The counts of this replica for the last hour. `from` is the start of the first minute. */
  readonly lastHour: LastHour & { readonly from: string };
}

/** `lost`: the store has none of the changes that this replica knows of. `went_back`: it lacks the last ones. */
type LossHistory = Exclude<StoreHistory, 'same'>;

interface CountedFailures {
  within(minutes: number): FailureReport['last5Minutes'];
}

export interface StatusOptions {
  readonly version: string;
  readonly replica: string;
  readonly clock: Clock;
  readonly health: Pick<StoreHealth, 'ping'>;
  readonly dueQueue: Pick<DueQueue, 'outlook'>;
  readonly loginQueue: Pick<LoginQueue, 'nextPlaceInMs'>;
  /** Logins per second over all replicas; 0: no limit. */
  readonly loginsPerSecond: number;
  /** Login requests of this replica per second, in the recent past. */
  readonly loginsSentPerSecond: () => number;
  readonly cache: { readonly size: number; readonly bytes: number };
  readonly vendorDomains: () => readonly VendorDomain[];
  /** `undefined`: the store is in this process. */
  readonly redis:
    | {
        readonly contact: Contact;
        /** `at`: epoch ms. */
        lastLoss(): { readonly at: number; readonly history: LossHistory } | undefined;
      }
    | undefined;
  /** Ids of the key ring. */
  readonly encryptionKeys: () => readonly string[];
  /** The server is `undefined` if session checks need none. */
  readonly sessions: { readonly mode: string; readonly server: Contact | undefined };
  readonly lastHour: () => Promise<LastHour>;
  readonly failedRequests: CountedFailures;
  readonly failedRenewals: CountedFailures;
}

/** Reports the state of the service for `GET /status`. */
export class Status {
  readonly #options: StatusOptions;
  readonly #startedAt: string;
  /** The newest answer to the question for {@link FINER_MS}. */
  #finer: { readonly askedAt: number; readonly dueWithin: readonly number[] } | undefined;
  #cached: { readonly until: number; readonly report: Promise<StatusReport> } | undefined;

  constructor(options: StatusOptions) {
    this.#options = options;
    this.#startedAt = isoTime(options.clock.now());
  }

  /** Never fails: a value that cannot be read is `null`. It asks the store at most once per second. */
  report(): Promise<StatusReport> {
    const now = this.#options.clock.monotonic();
    if (!this.#cached || now >= this.#cached.until) this.#cached = { until: now + CACHE_MS, report: this.#ask() };
    return this.#cached.report;
  }

  async #ask(): Promise<StatusReport> {
    const { version, replica, clock, health, dueQueue, loginQueue, cache, redis, sessions } = this.#options;
    const [isReachable, outlook, nextPlace, finer, lastHour] = await Promise.all([
      this.#answer(health.ping().then(() => true)),
      this.#answer(dueQueue.outlook(Object.values(HORIZONS))),
      this.#answer(loginQueue.nextPlaceInMs().then((ms) => ({ ms }))),
      this.#answer(this.#finerCounts()),
      this.#options.lastHour(),
    ]);
    const { failedRequests, failedRenewals } = this.#options;
    const loss = redis?.lastLoss();
    return {
      version,
      replica,
      at: isoTime(clock.now()),
      startedAt: this.#startedAt,
      vendorDomains: this.#options.vendorDomains().map(({ host, circuit, clockOffsetMs, ...contact }) => {
        return { host, circuit, clockOffsetSeconds: clockOffsetMs / SECOND_MS, ...contactReport(contact) };
      }),
      loginBudget: this.#loginBudget(nextPlace),
      store: {
        kind: redis ? 'redis' : 'memory',
        reachable: isReachable === true,
        encryptionKeys: this.#options.encryptionKeys(),
        lastDataLoss: loss ? { at: isoTime(loss.at), history: loss.history } : null,
        ...contactReport(redis?.contact ?? NO_CONTACT),
      },
      sessions: { mode: sessions.mode, server: sessions.server ? contactReport(sessions.server) : null },
      schedule: outlook && finer ? scheduleReport(outlook, finer) : null,
      memory: { tokens: cache.size, bytes: cache.bytes },
      recentFailures: { requests: failureReport(failedRequests), backgroundRenewals: failureReport(failedRenewals) },
      lastHour: { from: isoTime(firstMinute(clock.now())), ...lastHour },
    };
  }

  async #finerCounts(): Promise<readonly number[]> {
    const { clock, dueQueue } = this.#options;
    const now = clock.monotonic();
    const ageMs = now - (this.#finer?.askedAt ?? Number.NEGATIVE_INFINITY);
    if (this.#finer && ageMs < FINER_CACHE_MS) return this.#finer.dueWithin;
    const asking = dueQueue.outlook(FINER_MS).then(({ dueWithin }) => {
      this.#finer = { askedAt: now, dueWithin };
      return dueWithin;
    });
    if (!this.#finer || ageMs >= 2 * FINER_CACHE_MS) return asking;
    // The next report has the new counts.
    asking.catch(() => undefined);
    return this.#finer.dueWithin;
  }

  /** Returns `undefined` if the store fails, or does not answer in time. */
  #answer<Answer>(asked: Promise<Answer>): Promise<Answer | undefined> {
    const { clock } = this.#options;
    return raceTimeout(
      clock,
      STORE_TIMEOUT_MS,
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
  finer: readonly number[],
): StatusReport['schedule'] {
  const dueUntil = (ms: number) => finer[FINER_MS.indexOf(ms)] ?? 0;
  const due = Object.keys(HORIZONS).map((name, at) => [name, dueWithin[at] ?? 0]);
  return {
    due: Object.fromEntries(due) as Record<Horizon, number>,
    next24Hours: differences(HOURS_MS.map(dueUntil)),
    next30Days: differences(DAYS_MS.map(dueUntil)),
    total,
    oldestOverdueSeconds: overdueMs / SECOND_MS,
  };
}

/** The difference of each count to the one before it. */
function differences(counts: readonly number[]): number[] {
  return counts.map((count, at) => count - (counts[at - 1] ?? 0));
}

/** Epoch ms at which the first minute of the last hour begins. */
function firstMinute(now: number): number {
  return Math.floor(now / MINUTE_MS) * MINUTE_MS - HOUR_MS;
}

function failureReport(counted: CountedFailures): FailureReport {
  return { last5Minutes: counted.within(5), last60Minutes: counted.within(60) };
}

function contactReport({ lastSuccessAt, lastFailure, failingSince }: Contact): ContactReport {
  return {
    lastSuccessAt: lastSuccessAt === undefined ? null : isoTime(lastSuccessAt),
    lastFailure: lastFailure
      ? {
          at: isoTime(lastFailure.at),
          reason: lastFailure.reason,
          ...(lastFailure.vendorCode !== undefined && { vendorCode: lastFailure.vendorCode }),
        }
      : null,
    failingSince: failingSince === undefined ? null : isoTime(failingSince),
  };
}

function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
