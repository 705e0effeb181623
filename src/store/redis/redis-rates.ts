import type { Pace, Place, Urgency } from '../../token/login-pace.ts';
import type { LoginQueue, RateLimiter } from '../../token/ports.ts';
import type { RedisParts } from './redis-parts.ts';

/** What is limited over all replicas: rates by name, and the queue of vendor logins. */
export class RedisRates implements RateLimiter, LoginQueue {
  readonly #redis: RedisParts['redis'];
  readonly #keys: RedisParts['keys'];

  constructor({ redis, keys }: Pick<RedisParts, 'redis' | 'keys'>) {
    this.#redis = redis;
    this.#keys = keys;
  }

  async take(name: string, intervalMs: number, burst: number): Promise<number> {
    return Number(await this.#redis.script('take', [this.#keys.rate(name)], [intervalMs, burst]));
  }

  async reserve({ intervalMs, burst }: Pace, urgency: Urgency): Promise<Place> {
    const answer = await this.#redis.script('reserve', [this.#keys.loginQueue], [intervalMs, burst, urgency]);
    const [granted, waitMs] = answer as [number, number];
    return { granted: granted === 1, waitMs };
  }
}
