import type { Writable } from 'node:stream';
import { Cluster, ReplyError } from 'ioredis';
import { type Clock, Timeout } from '../../../token/clock.ts';
import { type Contact, ContactHistory } from '../../../token/contact-history.ts';
import type { Observer, RedisErrorKind } from '../../../token/observer.ts';
import { FENCED, runScript, type ScriptCall } from '../lua-scripts.ts';
import { mastersOf, type RedisClient } from './clients.ts';
import { SCRIPT_MAY_NOT, storeUnavailable } from './connection.ts';

export const COMMAND_TIMEOUT_MS = 180;

class CommandTimeout extends Error {
  constructor(timeoutMs: number) {
    super(`Redis did not answer within ${timeoutMs} ms`);
    this.name = 'CommandTimeout';
  }
}

/** By the first word of an error of Redis. */
const REPLIES = new Map<string, RedisErrorKind>([
  ['READONLY', 'readonly'],
  // Too few replicas follow this master: as with READONLY, another server may be the master by now.
  ['NOREPLICAS', 'readonly'],
  ['OOM', 'oom'],
  // Redis cannot save its data to its disk.
  ['MISCONF', 'misconf'],
  // The user lacks a right.
  ['NOPERM', 'noperm'],
  ['LOADING', 'loading'],
  // A script that arrived after its deadline.
  ['LATE', 'timeout'],
]);

/** Redis answers, but refuses writes, or what its user may not do. */
const WRITE_REFUSALS: ReadonlySet<RedisErrorKind> = new Set(['readonly', 'oom', 'misconf', 'noperm']);

/** Without another refusal for so long, Redis takes writes again: each replica writes once a second until then. */
const REFUSAL_MEMORY_MS = 5_000;
/** The same for a part of the servers that has not answered. Each one is asked every 5 s. */
const FAILURE_MEMORY_MS = 15_000;

/** @param error what a command threw */
export function redisErrorKind(error: unknown): RedisErrorKind {
  if (error instanceof CommandTimeout) return 'timeout';
  if (error instanceof Error && SCRIPT_MAY_NOT.test(error.message)) return 'noperm';
  if (error instanceof ReplyError) return REPLIES.get((error as Error).message.split(' ', 1)[0] ?? '') ?? 'other';
  // ioredis fails a command that has no connection, or that loses it. A TypeError is a mistake in the code.
  return error instanceof Error && !(error instanceof TypeError) ? 'connection' : 'other';
}

/** The message of an error that ends a connection that does not answer. */
const SILENT_CONNECTION = /^Socket timeout|ETIMEDOUT/;

/** A cluster tells the error of the node that it asked last. */
interface ConnectionError extends NodeJS.ErrnoException {
  readonly lastNodeError?: NodeJS.ErrnoException;
}

/** How long the circuit breaker stays open after a timeout, before it lets one command through as a probe. */
const OPEN_MS = 500;

/** A circuit breaker: after a timeout, commands fail at once until a probe is answered. */
export function commandBreaker(clock: Clock) {
  /** By the monotonic clock; `undefined` while the breaker is closed. */
  let openUntil: number | undefined;
  let probing = false;
  return { admit, settle };

  /** Whether a command may be sent now. Every command that is sent reports its result to {@link settle}. */
  function admit(): boolean {
    if (openUntil === undefined) return true;
    if (probing || clock.monotonic() < openUntil) return false;
    probing = true;
    return true;
  }

  /** @returns whether the breaker has closed */
  function settle(result: 'answered' | 'timeout'): boolean {
    const wasOpen = openUntil !== undefined;
    probing = false;
    openUntil = result === 'answered' ? undefined : clock.monotonic() + OPEN_MS;
    return wasOpen && result === 'answered';
  }
}

/**
 * Returns a function to be called before each command. It sends the commands of one turn of the event loop in one
 * write, not later. With 16 parallel reads this saves a quarter of the broker's CPU per read, and half of Redis's per
 * renewal.
 */
function writeCoalescer(client: RedisClient): () => void {
  let corked: readonly Writable[] = [];
  const uncork = (): void => {
    for (const stream of corked) stream.uncork();
    corked = [];
  };
  return () => {
    if (corked.length > 0) return;
    corked = mastersOf(client).flatMap(({ stream }) => stream ?? []);
    for (const stream of corked) stream.cork();
    if (corked.length > 0) setImmediate(uncork);
  };
}

/** The clock of each server, as its answers have shown it. */
export function serverClocks(clock: Clock) {
  /** By {@link RedisCommands.partOf}; '' for any server. */
  const readings = new Map<string, { readonly time: number; readonly readAt: number }>();
  return { note, now };

  /** A late answer replaces no better reading. @param time epoch ms @param askedAt by the monotonic clock */
  function note(part: string, time: number, askedAt: number): void {
    // Not a time: every later reading would be NaN too, and no script would have a deadline.
    if (Number.isNaN(time)) return;
    const readAt = clock.monotonic();
    const known = readings.get(part);
    const expected = known ? known.time + readAt - known.readAt : 0;
    // The server's clock now shows no more than this, unless it was set back.
    const latest = time + readAt - askedAt;
    readings.set(part, { time: expected > latest ? time : Math.max(time, expected), readAt });
  }

  /** Epoch ms, the shortest round trip behind at most. Before a first answer: another server's, or `undefined`. */
  function now(part: string): number | undefined {
    const reading = readings.get(part) ?? readings.get('');
    return reading && reading.time + clock.monotonic() - reading.readAt;
  }
}

/** How Redis refuses a script that arrived after its deadline: the time of its clock follows, epoch ms. */
const LATE = /^LATE (\d+)/;

const HASH_TAG = /\{\d+\}/;

/** The state of a part of the servers. */
interface Part {
  readonly breaker: ReturnType<typeof commandBreaker>;
  readonly contact: ContactHistory;
  /** Its failures are the refused writes. */
  readonly refusals: ContactHistory;
}

/**
 * Sends commands with a timeout and a circuit breaker. A cluster has one breaker per hash tag, and one per key without
 * a tag, so that one master that hangs does not stop commands to the others.
 */
export class RedisCommands {
  readonly #redis: RedisClient;
  readonly #cork: () => void;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #parts = new Map<string, Part>();
  readonly #observer: Pick<Observer, 'redisAsked' | 'redisFailed'>;
  readonly #recoveryListeners: (() => void)[] = [];
  /** Whether Redis took the last connection, but did not answer: it hangs. */
  #isSilent = false;
  /** Why there is no connection, as a code: `CERT_HAS_EXPIRED`. */
  #problem: string | undefined;
  readonly clocks: ReturnType<typeof serverClocks>;
  /** When Redis last answered a command, and when it did not. */
  readonly contact: ContactHistory;

  constructor(
    redis: RedisClient,
    clock: Clock,
    observer: Pick<Observer, 'redisAsked' | 'redisFailed'>,
    timeoutMs = COMMAND_TIMEOUT_MS,
  ) {
    this.#redis = redis;
    this.#cork = writeCoalescer(redis);
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#observer = observer;
    this.clocks = serverClocks(clock);
    this.contact = new ContactHistory(clock);
    redis.on('error', ({ message, code, lastNodeError }: ConnectionError) => {
      this.#isSilent = SILENT_CONNECTION.test(message);
      this.#problem = code ?? lastNodeError?.code;
    });
    redis.on('ready', () => {
      this.#isSilent = false;
      this.#problem = undefined;
    });
  }

  /** Calls `listener` when Redis answers again after a timeout. */
  onRecovery(listener: () => void): void {
    this.#recoveryListeners.push(listener);
  }

  /**
   * Runs a Lua script, which Redis refuses after its timeout unless {@link FENCED}. Strings in its result are buffers.
   * @throws BrokerError `store_unavailable`
   */
  script(...call: ScriptCall): Promise<unknown> {
    const [name, keys] = call;
    const part = this.partOf(keys[0]);
    const deadline = (leftMs: number): number | '' => {
      const now = FENCED.has(name) ? undefined : this.clocks.now(part);
      return now === undefined ? '' : Math.ceil(now + leftMs);
    };
    return this.run(keys[0], async (redis, leftMs) => {
      for (;;) {
        const askedAt = this.#clock.monotonic();
        try {
          return await runScript(redis, call, deadline(leftMs()));
        } catch (error) {
          const [, time] = LATE.exec((error as Error).message) ?? [];
          if (time === undefined || leftMs() <= 0) throw error;
          // This process stood still before it sent the script or read an answer, or the clock of Redis was set. The
          // caller still waits.
          this.clocks.note(part, Number(time), askedAt);
        }
      }
    });
  }

  /**
   * @param key a key of the command; `undefined` when any server may answer
   * @param command gets the ms until its timeout
   * @throws BrokerError `store_unavailable`
   */
  run<T>(key: string | undefined, command: (redis: RedisClient, leftMs: () => number) => Promise<T>): Promise<T> {
    this.#observer.redisAsked();
    const { breaker, contact, refusals } = this.#partAt(this.partOf(key));
    if (!breaker.admit()) {
      this.#observer.redisFailed('not_sent');
      return Promise.reject(storeUnavailable(new CommandTimeout(this.#timeoutMs)));
    }
    this.#cork();
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        timeout.cancel();
        const kind = redisErrorKind(error);
        const reason = kind === 'connection' && this.#isSilent ? 'timeout' : kind;
        this.#observer.redisFailed(reason);
        const problems: Partial<Record<string, string>> = {
          timeout: `slower than ${this.#timeoutMs} ms`,
          connection: this.#problem,
        };
        const failure = { at: this.#clock.now(), reason, problem: problems[reason] };
        if (WRITE_REFUSALS.has(reason)) {
          this.contact.refused(failure);
          if (!this.#hasFailedWithin(REFUSAL_MEMORY_MS, refusals)) refusals.works();
          refusals.failed(failure);
        } else for (const history of [this.contact, contact]) history.failed(failure);
        breaker.settle(error instanceof CommandTimeout ? 'timeout' : 'answered');
        reject(storeUnavailable(error));
      };
      const timeout = new Timeout(this.#clock, () => fail(new CommandTimeout(this.#timeoutMs)), this.#timeoutMs);
      command(this.#redis, () => this.#timeoutMs - timeout.countedMs).then(
        (answer) => {
          if (timeout.isOver) return;
          timeout.cancel();
          for (const history of [this.contact, contact]) history.succeeded(this.#clock.now());
          if (breaker.settle('answered')) for (const listener of this.#recoveryListeners) listener();
          resolve(answer);
        },
        (error: unknown) => {
          if (!timeout.isOver) fail(error);
        },
      );
    });
  }

  /** Strings in the answer are buffers. @throws BrokerError `store_unavailable` */
  command<Answer>(name: string, key: string, ...args: (string | number)[]): Promise<Answer> {
    return this.run(key, (redis) => redis.callBuffer(name, key, ...args) as Promise<Answer>);
  }

  /** The clock of the server that has the key: see {@link serverClocks}. */
  now(key: string): number | undefined {
    return this.clocks.now(this.partOf(key));
  }

  /** Asks any server for an answer, and for the time of its clock. @throws BrokerError `store_unavailable` */
  async ping(): Promise<void> {
    const askedAt = this.#clock.monotonic();
    // Redis answers TIME, but refuses PING, while it takes no writes because it cannot save them (MISCONF).
    const [, [seconds, microseconds]] = await this.run(undefined, (redis) => Promise.all([redis.ping(), redis.time()]));
    this.clocks.note('', Number(seconds) * 1_000 + Number(microseconds) / 1_000, askedAt);
  }

  /** The part of the servers that a key belongs to: its hash tag on a cluster. */
  partOf(key = ''): string {
    return this.#redis instanceof Cluster ? (HASH_TAG.exec(key)?.[0] ?? key) : '';
  }

  /** The part of the servers that has failed for the longest time; `undefined` if every part answers. */
  outage(): Contact | undefined {
    return this.#longestFailing(FAILURE_MEMORY_MS, ({ contact }) => contact);
  }

  /** The refusals of the part of the servers that has refused writes for the longest time. */
  refusedWrites(): Contact | undefined {
    return this.#longestFailing(REFUSAL_MEMORY_MS, ({ refusals }) => refusals);
  }

  #longestFailing(memoryMs: number, historyOf: (part: Part) => ContactHistory): Contact | undefined {
    return [...this.#parts.values()]
      .map(historyOf)
      .filter((history) => history.failingSince && this.#hasFailedWithin(memoryMs, history))
      .sort((one, other) => (one.failingSinceMonotonic ?? 0) - (other.failingSinceMonotonic ?? 0))[0];
  }

  #hasFailedWithin(ms: number, { failedMonotonic = Number.NEGATIVE_INFINITY }: Contact): boolean {
    return this.#clock.monotonic() - failedMonotonic < ms;
  }

  #partAt(name: string): Part {
    const known = this.#parts.get(name);
    if (known) return known;
    const [contact, refusals] = [new ContactHistory(this.#clock), new ContactHistory(this.#clock)];
    const part = { breaker: commandBreaker(this.#clock), contact, refusals };
    this.#parts.set(name, part);
    return part;
  }
}
