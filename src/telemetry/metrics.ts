import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { BrokerError, ERRORS, type ErrorCode, READ_ERRORS } from '../token/errors.ts';
import type { LoginOutcome, Observer, ReadOutcome } from '../token/observer.ts';
import { type WatchedState, watchState } from './watched-state.ts';

export interface MetricsOptions {
  readonly version: string;
  /** The vendor's result codes with a label value of their own, and their outcomes. Any other code is `other`. */
  readonly vendorResults: readonly (readonly [code: number, LoginOutcome])[];
  /** Number of log lines that were lost so far. Default: none. */
  readonly lostLogLines?: () => number;
}

/** Creates the metrics of one replica (docs/metrics.md). */
export function createMetrics({ version, vendorResults, lostLogLines = () => 0 }: MetricsOptions) {
  const registry = new Registry();
  const observer = countedEvents(registry, vendorResults);
  new Counter({
    registers: [registry],
    name: 'sdk_token_broker_log_lines_lost_total',
    help: 'Lines of the log that were lost, because standard output did not take them: its disk is full, or nobody reads it.',
    collect() {
      this.reset();
      this.inc(lostLogLines());
    },
  });
  collectDefaultMetrics({ register: registry });
  return {
    /** Counts the events that it receives. */
    observer,
    /** From now on, the metrics include this state. */
    watch: (state: WatchedState) => watchState(registry, version, state),
    /** All metrics of the service and of the process, in the Prometheus text format. */
    scrape: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}

const CODES = Object.keys(ERRORS) as ErrorCode[];

/** The outcome of a failure. */
export function errorCodeOf(error: unknown): ErrorCode {
  return error instanceof BrokerError ? error.code : 'internal';
}

interface CounterOptions<Value extends string> {
  readonly name: string;
  readonly help: string;
  readonly label: string;
  /** Shown with 0 from the start: a Prometheus rate misses the first event of a series that did not exist before. */
  readonly values: readonly Value[];
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const REMAINING_LIFE = [5, 15, MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR, 6 * HOUR];
const REMAINING_DAYS = [1, 3, 7, 14, 21, 30].map((days) => days * DAY);
const LATENESS = [1, 2, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400];
const DURATIONS = [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30];
const WAITS = [0, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2];
/** The outcomes of logins without a result code. */
const WITHOUT_CODE = [
  ...(['busy', 'circuit_open', 'timeout', 'unreachable', 'outage'] as const),
  ...(['too_frequent', 'too_large', 'broken_answer'] as const),
] satisfies LoginOutcome[];

/** Registers the metrics of the events. A metric of one event alone stands at that event. */
function countedEvents(registry: Registry, vendorResults: MetricsOptions['vendorResults']): Observer {
  const registers = [registry];
  /** Registers a counter. @returns the function that counts one event */
  const count = (name: string, help: string) => {
    const counter = new Counter({ registers, name, help });
    return () => counter.inc();
  };
  /** The same with one label. prom-client gets the counts when it is asked, because it looks at labels for long. */
  const countBy = <Value extends string>({ name, help, label, values }: CounterOptions<Value>) => {
    const counts = new Map<Value, number>(values.map((value) => [value, 0]));
    new Counter({
      registers,
      name,
      help,
      labelNames: [label],
      collect() {
        this.reset();
        for (const [value, number] of counts) this.inc({ [label]: value }, number);
      },
    });
    return (value: Value) => void counts.set(value, (counts.get(value) ?? 0) + 1);
  };
  const countRead = countBy<ReadOutcome | ErrorCode>({
    name: 'sdk_token_broker_reads_total',
    help: 'Reads of a token, by the source of the token or by the code of the error.',
    label: 'outcome',
    values: ['memory', 'redis', 'login', 'waited', 'fallback', ...READ_ERRORS],
  });
  const remainingLife = new Histogram({
    registers,
    name: 'sdk_token_broker_served_token_expiry_seconds',
    help: 'Remaining life of the tokens that apps received.',
    buckets: [...REMAINING_LIFE, ...REMAINING_DAYS],
  });
  const renewals = new Counter({
    registers,
    name: 'sdk_token_broker_renewals_total',
    help: 'Renewals by cause and outcome. Callers that share one renewal count once.',
    labelNames: ['cause', 'outcome'],
  });
  for (const cause of ['new', 'due', 'refused', 'background'] as const) {
    for (const outcome of ['login', 'waited', ...CODES.filter((code) => code.startsWith('vendor_'))]) {
      renewals.inc({ cause, outcome }, 0);
    }
  }
  const lateness = new Histogram({
    registers,
    name: 'sdk_token_broker_due_lateness_seconds',
    help: 'Time from the due time of a token to the claim of its background renewal. Retries count again.',
    buckets: LATENESS,
  });
  const backlog = new Gauge({
    registers,
    name: 'sdk_token_broker_due_backlog',
    help: 'Due subjects of all replicas that no worker has claimed, as seen by this replica at its last claim.',
  });
  const oldestOverdue = new Gauge({
    registers,
    name: 'sdk_token_broker_oldest_overdue_seconds',
    help: 'How long the oldest due token had waited for its renewal, as seen by this replica at its last claim; 0 if none was due.',
  });
  const logins = new Counter({
    registers,
    name: 'sdk_token_broker_logins_total',
    help: 'Vendor logins by outcome and last result code.',
    labelNames: ['outcome', 'vendor_code'],
  });
  const knownCodes = new Set(vendorResults.map(([code]) => code));
  for (const [code, outcome] of vendorResults) logins.inc({ outcome, vendor_code: code }, 0);
  for (const outcome of WITHOUT_CODE) logins.inc({ outcome, vendor_code: 'none' }, 0);
  logins.inc({ outcome: 'unknown', vendor_code: 'other' }, 0);
  const durations = new Histogram({
    registers,
    name: 'sdk_token_broker_login_duration_seconds',
    help: 'Duration of vendor logins, including retries and waits for the login budget.',
    labelNames: ['outcome'],
    buckets: DURATIONS,
  });
  durations.zero({ outcome: 'success' });
  const waits = new Histogram({
    registers,
    name: 'sdk_token_broker_login_budget_wait_seconds',
    help: 'Time that login attempts waited for the login budget.',
    labelNames: ['urgency'],
    buckets: WAITS,
  });
  const secretsRefused = new Gauge({
    registers,
    name: 'sdk_token_broker_secrets_refused',
    help: '1 while the replica keeps its old secrets, because the configuration with the new ones is not usable.',
  });
  return {
    tokenServed(outcome, leftMs) {
      countRead(outcome);
      remainingLife.observe(leftMs / 1_000);
    },
    readFailed: (error) => countRead(errorCodeOf(error)),
    sessionChecked: countBy({
      name: 'sdk_token_broker_session_checks_total',
      help: 'Session checks by outcome. Callers that share one check count once.',
      label: 'outcome',
      values: [
        'cached',
        'accepted',
        'kept',
        'malformed',
        'unknown_key',
        'session_invalid',
        'session_expired',
        'session_check_unavailable',
      ],
    }),
    rateLimited: countBy({
      name: 'sdk_token_broker_rate_limit_refusals_total',
      help: 'Requests refused with `rate_limited`, by the limit that was reached.',
      label: 'limit',
      values: ['requests', 'logins', 'refused_tokens'],
    }),
    renewalEnded: (cause, outcome) => renewals.inc({ cause, outcome }),
    renewalFailed: (cause, error) => renewals.inc({ cause, outcome: errorCodeOf(error) }),
    wroteBack: countBy({
      name: 'sdk_token_broker_write_backs_total',
      help: 'Tokens written back to the store, by outcome.',
      label: 'outcome',
      values: ['saved', 'outdated'],
    }),
    renewalClaimed: (latenessMs) => lateness.observe(latenessMs / 1_000),
    backlogSeen: (subjects) => backlog.set(subjects),
    overdueSeen: (overdueMs) => oldestOverdue.set(overdueMs / 1_000),
    endedUnrenewed: count(
      'sdk_token_broker_tokens_expired_unrenewed_total',
      'Tokens that ended although an app had read them and the broker should have renewed them.',
    ),
    loginSent: count(
      'sdk_token_broker_login_attempts_total',
      'Login requests sent to the vendor. One login sends at most three.',
    ),
    loginEnded(outcome, vendorCode, durationMs) {
      const known = vendorCode !== undefined && knownCodes.has(vendorCode) ? vendorCode : 'other';
      logins.inc({ outcome, vendor_code: vendorCode === undefined ? 'none' : known });
      durations.observe({ outcome }, durationMs / 1_000);
    },
    accountClosed: count(
      'sdk_token_broker_accounts_closed_total',
      'Accounts that the vendor has closed, as its answers to logins show. Each counts once, over all replicas.',
    ),
    budgetWaited: (urgency, waitMs) => waits.observe({ urgency }, waitMs / 1_000),
    budgetDenied: countBy({
      name: 'sdk_token_broker_login_budget_denials_total',
      help: 'Login attempts refused because the login budget was used up.',
      label: 'urgency',
      values: ['foreground', 'background'],
    }),
    redisAsked: count(
      'sdk_token_broker_redis_commands_total',
      'Commands for Redis, also the failed ones and those that were not sent.',
    ),
    redisFailed: countBy({
      name: 'sdk_token_broker_redis_errors_total',
      help: 'Failed Redis commands, by kind of failure.',
      label: 'kind',
      values: ['timeout', 'connection', 'readonly', 'oom', 'misconf', 'noperm', 'loading', 'not_sent', 'other'],
    }),
    storeLostData: countBy({
      name: 'sdk_token_broker_redis_data_losses_total',
      help: 'How often this replica found that Redis has lost changes.',
      label: 'history',
      values: ['lost', 'went_back'],
    }),
    adminRefused: countBy({
      name: 'sdk_token_broker_admin_refusals_total',
      help: 'Requests to the internal API that were refused because their bearer token was wrong or missing.',
      label: 'reason',
      values: ['missing', 'wrong'],
    }),
    secretsReloaded: (isUsable) => secretsRefused.set(isUsable ? 0 : 1),
  };
}
