import type { Writable } from 'node:stream';
import { Cluster } from 'ioredis';
import type { Clock } from '../../../token/clock.ts';
import type { Observer, RedisErrorKind } from '../../../token/observer.ts';
import { raceTimeout } from '../../../token/time-budget.ts';
import { runScript } from '../lua-scripts.ts';
import { mastersOf, type RedisClient } from './clients.ts';
import { unavailable } from './connection.ts';

/** Most ms one command may take. */
const COMMAND_MS = 180;

/** Redis did not answer in time. */
class Unanswered extends Error {
  constructor() {
    super(`Redis did not answer within ${COMMAND_MS} ms`);
    this.name = 'Unanswered';
  }
}

/** How ioredis tells that a command found no connection, or lost it; Redis's own errors begin with a word in capitals. */
const NO_CONNECTION = [
  'Connection is closed',
  "Stream isn't writeable",
  'Reached the max retries',
  "Cluster isn't ready",
  'Cluster is disconnect',
  'Node is disconnected',
  'None of startup nodes',
  'Failed to refresh slots',
  'Too many Cluster redirections',
  'connect ETIMEDOUT',
];

const REPLIES = new Map<string, RedisErrorKind>([
  ['READONLY', 'readonly'],
  ['OOM', 'oom'],
  ['LOADING', 'loading'],
]);

/** What kind of failure a command met: what it threw, before it is made `store_unavailable`. */
export function redisErrorKind(error: unknown): RedisErrorKind {
  if (error instanceof Unanswered) return 'timeout';
  if (!(error instanceof Error)) return 'other';
  const isOfSocket = 'code' in error && 'syscall' in error;
  if (isOfSocket || NO_CONNECTION.some((start) => error.message.startsWith(start))) return 'connection';
  return REPLIES.get(error.message.split(' ', 1)[0] ?? '') ?? 'other';
}

/** How long nothing is sent after a command went unanswered; then one finds out. */
const CLOSED_MS = 500;

/**
 * Spares requests the wait for a Redis that hangs: once a command has timed out, the others fail at once until one gets
 * through again.
 */
export class CommandBreaker {
  readonly #clock: Clock;
  #closedUntil = 0;
  #probing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a command may be sent now. Who was let through while it is not well reports with {@link settle}. */
  admit(): boolean {
    if (this.#closedUntil === 0) return true;
    if (this.#probing || this.#clock.now() < this.#closedUntil) return false;
    this.#probing = true;
    return true;
  }

  settle(outcome: 'answered' | 'unanswered'): void {
    this.#probing = false;
    this.#closedUntil = outcome === 'answered' ? 0 : this.#clock.now() + CLOSED_MS;
  }
}

/**
 * Has the commands of one turn of the event loop sent in one piece: each piece is a system call here and wakes Redis.
 * None waits longer than that turn.
 */
class WriteCoalescer {
  readonly #client: RedisClient;
  #held: readonly Writable[] = [];

  constructor(client: RedisClient) {
    this.#client = client;
  }

  /** To be called before a command is sent. */
  begin(): void {
    if (this.#held.length > 0) return;
    this.#held = mastersOf(this.#client).flatMap(({ stream }) => stream ?? []);
    for (const stream of this.#held) stream.cork();
    if (this.#held.length > 0) setImmediate(() => this.#end());
  }

  #end(): void {
    for (const stream of this.#held) stream.uncork();
    this.#held = [];
  }
}

const HASH_TAG = /\{\d+\}/;
/** Stands for no answer, as a command may well answer `undefined`. */
const NONE = Symbol('none');

/**
 * The connection that commands go over; they fail at once while Redis does not answer. On a cluster that is known for
 * each hash tag, and each key without one: a master that hangs keeps nobody from the others.
 */
export class RedisLink {
  readonly #redis: RedisClient;
  readonly #write: WriteCoalescer;
  readonly #clock: Clock;
  readonly #gates = new Map<string, CommandBreaker>();
  readonly #observer: Pick<Observer, 'redisFailed'>;

  constructor(redis: RedisClient, clock: Clock, observer: Pick<Observer, 'redisFailed'>) {
    this.#redis = redis;
    this.#write = new WriteCoalescer(redis);
    this.#clock = clock;
    this.#observer = observer;
  }

  /** Runs one of the scripts; strings come back as buffers. @throws BrokerError `store_unavailable` */
  script(...[name, keys, args]: Parameters<typeof runScript> extends [RedisClient, ...infer Rest] ? Rest : never) {
    return this.#pass(keys[0], () => runScript(this.#redis, name, keys, args));
  }

  /**
   * @param key what the command is about; `undefined` where it does not matter which server answers
   * @throws BrokerError `store_unavailable`
   */
  run<T>(key: string | undefined, command: (redis: RedisClient) => Promise<T>): Promise<T> {
    return this.#pass(key, () => command(this.#redis));
  }

  async #pass<T>(key: string | undefined, command: () => Promise<T>): Promise<T> {
    const gate = this.#gateOf(key);
    if (!gate.admit()) {
      this.#observer.redisFailed('not_sent');
      throw unavailable(new Unanswered());
    }
    this.#write.begin();
    try {
      const answer = await raceTimeout(this.#clock, COMMAND_MS, command(), NONE);
      if (answer === NONE) throw new Unanswered();
      gate.settle('answered');
      return answer;
    } catch (error) {
      this.#observer.redisFailed(redisErrorKind(error));
      gate.settle(error instanceof Unanswered ? 'unanswered' : 'answered');
      throw unavailable(error);
    }
  }

  #gateOf(key = ''): CommandBreaker {
    const part = this.#redis instanceof Cluster ? (HASH_TAG.exec(key)?.[0] ?? key) : '';
    let gate = this.#gates.get(part);
    if (!gate) {
      gate = new CommandBreaker(this.#clock);
      this.#gates.set(part, gate);
    }
    return gate;
  }
}
