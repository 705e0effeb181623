import type { FastifyBaseLogger, FastifyRequest } from 'fastify';
import { type Clock, systemClock } from '../token/clock.ts';
import { type BrokerError, ERRORS } from '../token/errors.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whether the refusal of this request has a log line of another kind. */
    hasRefusalLine: boolean;
  }
}

const INTERVAL_MS = 1_000;

/** The fields that a line has besides those of its event. */
interface Sampled {
  /** The number of earlier events of the same kind that got no line of their own. */
  readonly omitted?: number;
  /** If the line is late. */
  readonly happenedAt?: Date;
}

type Write = (sampled: Sampled) => void;

interface Interval {
  /** The latest event since the interval began. */
  latest: { readonly write: Write; readonly happenedAt: Date } | undefined;
  /** Events since the interval began. */
  count: number;
}

/**
 * Logs the first event of a kind at once, and then at most one per kind and interval, by default a second: the latest
 * one, with the number of those that it stands for. So neither a client nor an outage fills the log.
 */
export class LogSampler {
  readonly #intervalMs: number;
  readonly #clock: Pick<Clock, 'now'>;
  /** The running interval of each kind. It began with a line. */
  readonly #intervals = new Map<string, Interval>();
  #isEnding = false;

  constructor(intervalMs = INTERVAL_MS, clock: Pick<Clock, 'now'> = systemClock) {
    this.#intervalMs = intervalMs;
    this.#clock = clock;
  }

  /** Number of kinds that had a line within the last interval. */
  get size(): number {
    return this.#intervals.size;
  }

  /** Whether the kind had a line within the last interval. */
  has(kind: string): boolean {
    return this.#intervals.has(kind);
  }

  add(kind: string, write: Write): void {
    const interval = this.#intervals.get(kind);
    if (!interval) {
      if (!this.#isEnding) this.#begin(kind);
      write({});
      return;
    }
    interval.latest = { write, happenedAt: new Date(this.#clock.now()) };
    interval.count += 1;
  }

  /** Writes the events that wait for the end of an interval, and each later one at once: the process ends. */
  end(): void {
    this.#isEnding = true;
    for (const interval of this.#intervals.values()) writeLatest(interval);
    // The timers find no interval any more.
    this.#intervals.clear();
  }

  #begin(kind: string): void {
    this.#intervals.set(kind, { latest: undefined, count: 0 });
    setTimeout(() => this.#endInterval(kind), this.#intervalMs).unref();
  }

  #endInterval(kind: string): void {
    const interval = this.#intervals.get(kind);
    this.#intervals.delete(kind);
    if (!interval?.latest) return;
    this.#begin(kind);
    writeLatest(interval);
  }
}

function writeLatest({ latest, count }: Interval): void {
  latest?.write({ ...(count > 1 && { omitted: count - 1 }), happenedAt: latest.happenedAt });
}

/** Kinds of lines at the same time that are of one account. */
const MAX_REFUSED = 20;
/** In an outage, the requests of all accounts fail for one reason. */
const MAX_FAILED = 5;
const FAILURE_INTERVAL_MS = 10_000;
/** A mistake of the customer cloud that nobody can correct within minutes. */
const MISTAKE_INTERVAL_MS = 3_600_000;

/**
 * Writes one line for each refused request, so that support finds a request by its id or by the digest of the account:
 * at `info`, or at `warn` and `error` if the status is 5xx. A line may stand for several requests, and then it has
 * their number. In one second, and in 10 s for a 5xx, there is at most one line for each code of an account. If the
 * account is unknown, or if 20 accounts are refused, or if 5 get a 5xx, there is one for each code. Sessions without a
 * time of issue, by which an account cannot come back after its erasure, cause a line at `warn` once an hour.
 */
export class RefusalLog {
  /** A kind is a code with an account, or a code alone. */
  readonly #refused = new LogSampler();
  readonly #failed = new LogSampler(FAILURE_INTERVAL_MS);
  readonly #mistakes = new LogSampler(MISTAKE_INTERVAL_MS);

  add(error: BrokerError, request: RefusedRequest): void {
    const { code } = error;
    // A replica that shuts down refuses every request, which is no fault.
    if (code === 'shutting_down' || request.hasRefusalLine) return;
    const digests = digestsOf(error, request);
    const isFailure = ERRORS[code].status >= 500;
    const lines = isFailure ? this.#failed : this.#refused;
    const own = `${code} ${digests.account}`;
    const hasOwn =
      digests.account !== undefined && (lines.has(own) || lines.size < (isFailure ? MAX_FAILED : MAX_REFUSED));
    lines.add(hasOwn ? own : code, (sampled) => write(error, request, digests, sampled));
    if (error.reason !== SESSION_REASONS.noTimeOfIssue) return;
    this.#mistakes.add(code, (sampled) => request.log.warn({ ...digests, ...sampled }, error.message));
  }

  /** One line a second for connections that are closed because there are too many. @param max how many there may be */
  addFull(max: number, log: FastifyBaseLogger): void {
    this.#refused.add('full', (sampled) =>
      log.warn({ max, ...sampled }, 'too many connections: unused or new ones are closed'),
    );
  }

  /** Writes the lines that wait for the end of their interval, and each later one at once. */
  end(): void {
    this.#refused.end();
    this.#failed.end();
    this.#mistakes.end();
  }
}

/** A request that Fastify never saw has only the first two: its bytes are no HTTP, or they did not arrive in time. */
type RefusedRequest = Pick<FastifyRequest, 'id' | 'log'> &
  Partial<Pick<FastifyRequest, 'routeOptions' | 'caller' | 'query' | 'audited' | 'hasRefusalLine'>>;

interface Digests {
  readonly account?: string;
  readonly subject?: string;
}

/** The internal API knows the digests from the call, the public API from the session and the parameters. */
function digestsOf({ account }: BrokerError, { caller, query, audited }: RefusedRequest): Digests {
  if (audited) return audited;
  if (!caller) return account === undefined ? {} : { account };
  const { uniqueId, app } = query as { readonly uniqueId?: unknown; readonly app?: unknown };
  const { latest } = caller;
  const subject = latest?.uniqueId === uniqueId && latest?.app === app ? latest?.id : undefined;
  return { account: caller.account, ...(subject !== undefined && { subject }) };
}

function write(error: BrokerError, request: RefusedRequest, digests: Digests, sampled: Sampled): void {
  const { code, detail, vendorCode, cause: err } = error;
  const { status } = ERRORS[code];
  const { id: requestId, routeOptions } = request;
  const fields = { requestId, code, status, detail, vendorCode, route: routeOptions?.url, ...digests };
  const counted = { ...fields, ...sampled };
  // A refusal that the caller caused is explained by its detail. The message of its cause may echo the request.
  if (status < 500) request.log.info(counted, 'request refused');
  else if (status === 500) request.log.error({ ...counted, err }, 'request failed');
  else {
    // It is expected, and its code shows its origin.
    if (err instanceof Error) err.stack = '';
    request.log.warn({ ...counted, err }, 'request failed');
  }
}
