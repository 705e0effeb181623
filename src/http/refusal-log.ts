import type { FastifyBaseLogger, FastifyRequest } from 'fastify';
import { type BrokerError, ERRORS } from '../token/errors.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whether the refusal of this request has a log line of another kind. */
    hasRefusalLine: boolean;
  }
}

const INTERVAL_MS = 1_000;

/** Writes a line. @param omitted the number of earlier events of the same kind that got no line of their own */
type Write = (omitted: number) => void;

interface Interval {
  readonly timer: NodeJS.Timeout;
  /** Writes the latest event since the interval began. */
  latest: Write | undefined;
  /** Events since the interval began. */
  count: number;
}

/**
 * Logs the first event of a kind at once, and then at most one per kind and interval, by default a second: the latest one, with the number of
 * those that it stands for. So a client cannot fill the log.
 */
export class LogSampler<Kind> {
  readonly #intervalMs: number;
  /** The running interval of each kind. It began with a line. */
  readonly #intervals = new Map<Kind, Interval>();

  constructor(intervalMs = INTERVAL_MS) {
    this.#intervalMs = intervalMs;
  }

  /** Number of kinds that had a line within the last interval. */
  get size(): number {
    return this.#intervals.size;
  }

  /** Whether the kind had a line within the last interval. */
  has(kind: Kind): boolean {
    return this.#intervals.has(kind);
  }

  add(kind: Kind, write: Write): void {
    const interval = this.#intervals.get(kind);
    if (!interval) {
      this.#write(kind, write, 0);
      return;
    }
    interval.latest = write;
    interval.count += 1;
  }

  /** Writes the events that wait for the end of an interval. */
  flush(): void {
    for (const { timer, latest, count } of this.#intervals.values()) {
      clearTimeout(timer);
      latest?.(count - 1);
    }
    this.#intervals.clear();
  }

  #write(kind: Kind, write: Write, omitted: number): void {
    write(omitted);
    const timer = setTimeout(() => this.#endInterval(kind), this.#intervalMs).unref();
    this.#intervals.set(kind, { timer, latest: undefined, count: 0 });
  }

  #endInterval(kind: Kind): void {
    const { latest, count = 0 } = this.#intervals.get(kind) ?? {};
    this.#intervals.delete(kind);
    if (latest) this.#write(kind, latest, count - 1);
  }
}

/** Accounts that have log lines of their own at the same time. */
const MAX_ACCOUNTS = 20;

/**
 * Writes one line for each refused request, so that support finds a request by its id or by the digest of the account:
 * at `info`, or at `warn` and `error` if the status is 5xx. A line may stand for several requests, and then it has their
 * number. In one second there is at most one line for each code of an account. If the account is unknown, or if 20
 * accounts are refused, there is one for each code.
 */
export class RefusalLog {
  /** A kind is a code with an account, or a code alone. */
  readonly #lines = new LogSampler<string>();

  add(error: BrokerError, request: FastifyRequest): void {
    // A replica that shuts down refuses every request, which is no fault.
    if (error.code === 'shutting_down' || request.hasRefusalLine) return;
    const digests = digestsOf(error, request);
    this.#lines.add(this.#kindOf(error, digests), (omitted) => write(error, request, digests, omitted));
  }

  /** The same for a request that Fastify never saw: its bytes are no HTTP, or they did not arrive in time. */
  addUnreadable(error: BrokerError, request: RefusedRequest): void {
    this.#lines.add(error.code, (omitted) => write(error, request, {}, omitted));
  }

  /** One line a second for connections that are closed because there are too many. @param max how many there may be */
  addFull(max: number, log: FastifyBaseLogger): void {
    this.#lines.add('full', (omitted) =>
      log.warn({ max, omitted }, 'too many connections: unused or new ones are closed'),
    );
  }

  /** Writes the lines that wait for the end of their second. */
  flush(): void {
    this.#lines.flush();
  }

  #kindOf({ code }: BrokerError, { account }: Digests): string {
    const own = `${code} ${account}`;
    return account !== undefined && (this.#lines.has(own) || this.#lines.size < MAX_ACCOUNTS) ? own : code;
  }
}

interface RefusedRequest {
  readonly id: string;
  readonly log: FastifyBaseLogger;
  readonly routeOptions?: { readonly url?: string | undefined };
}

interface Digests {
  readonly account?: string;
  readonly subject?: string;
}

/** The internal API knows the digests from the call, the public API from the session and the parameters. */
function digestsOf({ account }: BrokerError, { caller, query, audited }: FastifyRequest): Digests {
  if (audited) return audited;
  if (!caller) return account === undefined ? {} : { account };
  const { uniqueId, app } = query as { readonly uniqueId?: unknown; readonly app?: unknown };
  const { latest } = caller;
  const subject = latest?.uniqueId === uniqueId && latest?.app === app ? latest?.id : undefined;
  return { account: caller.account, ...(subject !== undefined && { subject }) };
}

/** @param omitted the number of other refused requests that this line stands for */
function write(error: BrokerError, request: RefusedRequest, digests: Digests, omitted: number): void {
  const { code, detail, vendorCode, cause: err } = error;
  const { status } = ERRORS[code];
  const { id: requestId, routeOptions } = request;
  const fields = { requestId, code, status, detail, vendorCode, route: routeOptions?.url, ...digests };
  const counted = { ...fields, ...(omitted > 0 && { omitted }) };
  // A refusal that the caller caused is explained by its detail. The message of its cause may echo the request.
  if (status < 500) request.log.info(counted, 'request refused');
  else if (status === 500) request.log.error({ ...counted, err }, 'request failed');
  else {
    // It is expected, and its code shows its origin.
    if (err instanceof Error) err.stack = '';
    request.log.warn({ ...counted, err }, 'request failed');
  }
}
