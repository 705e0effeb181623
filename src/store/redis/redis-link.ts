import type { Clock } from '../../token/clock.ts';
import type { Observer } from '../../token/observer.ts';
import type { RedisClient } from './clients.ts';
import { orUnavailable, runScript } from './connection.ts';
import { inTime, Unanswered } from './deadline.ts';
import { redisErrorKind } from './error-kind.ts';
import { Gate } from './gate.ts';

/** The connection that commands go over; they fail at once while Redis does not answer. */
export class RedisLink {
  readonly #redis: RedisClient;
  readonly #gate: Gate;
  readonly #observer: Pick<Observer, 'redisFailed'>;

  constructor(redis: RedisClient, clock: Clock, observer: Pick<Observer, 'redisFailed'>) {
    this.#redis = redis;
    this.#gate = new Gate(clock);
    this.#observer = observer;
  }

  /** Runs one of the scripts; strings come back as buffers. @throws BrokerError `store_unavailable` */
  script(...[name, keys, args]: Parameters<typeof runScript> extends [RedisClient, ...infer Rest] ? Rest : never) {
    return this.#pass(() => runScript(this.#redis, name, keys, args));
  }

  /** @throws BrokerError `store_unavailable` */
  run<T>(command: (redis: RedisClient) => Promise<T>): Promise<T> {
    return this.#pass(() => command(this.#redis));
  }

  #pass<T>(command: () => Promise<T>): Promise<T> {
    if (this.#gate.admit()) return orUnavailable(this.#inTime(command()));
    this.#observer.redisFailed('not_sent');
    return orUnavailable(Promise.reject(new Unanswered()));
  }

  async #inTime<T>(command: Promise<T>): Promise<T> {
    try {
      const answer = await inTime(command);
      this.#gate.settle('answered');
      return answer;
    } catch (error) {
      this.#observer.redisFailed(redisErrorKind(error));
      this.#gate.settle(error instanceof Unanswered ? 'unanswered' : 'answered');
      throw error;
    }
  }
}
