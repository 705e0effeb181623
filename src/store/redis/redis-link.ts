import { Cluster } from 'ioredis';
import type { Clock } from '../../token/clock.ts';
import type { Observer } from '../../token/observer.ts';
import { within } from '../../token/within.ts';
import type { RedisClient } from './clients.ts';
import { runScript, unavailable } from './connection.ts';
import { COMMAND_MS, Unanswered } from './deadline.ts';
import { redisErrorKind } from './error-kind.ts';
import { Gate } from './gate.ts';
import { OneWrite } from './one-write.ts';

const HASH_TAG = /\{\d+\}/;
/** Stands for no answer, as a command may well answer `undefined`. */
const NONE = Symbol('none');

/**
 * The connection that commands go over; they fail at once while Redis does not answer. On a cluster that is known for
 * each hash tag, and each key without one: a master that hangs keeps nobody from the others.
 */
export class RedisLink {
  readonly #redis: RedisClient;
  readonly #write: OneWrite;
  readonly #clock: Clock;
  readonly #gates = new Map<string, Gate>();
  readonly #observer: Pick<Observer, 'redisFailed'>;

  constructor(redis: RedisClient, clock: Clock, observer: Pick<Observer, 'redisFailed'>) {
    this.#redis = redis;
    this.#write = new OneWrite(redis);
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
      const answer = await within(COMMAND_MS, command(), NONE);
      if (answer === NONE) throw new Unanswered();
      gate.settle('answered');
      return answer;
    } catch (error) {
      this.#observer.redisFailed(redisErrorKind(error));
      gate.settle(error instanceof Unanswered ? 'unanswered' : 'answered');
      throw unavailable(error);
    }
  }

  #gateOf(key = ''): Gate {
    const part = this.#redis instanceof Cluster ? (HASH_TAG.exec(key)?.[0] ?? key) : '';
    let gate = this.#gates.get(part);
    if (!gate) {
      gate = new Gate(this.#clock);
      this.#gates.set(part, gate);
    }
    return gate;
  }
}
