import { Gauge, type Registry } from 'prom-client';
import type { Observer, RedisErrorKind } from '../token/observer.ts';
import { Tally } from './tally.ts';

/** What a replica keeps in memory. */
export interface Occupancy {
  readonly size: number;
  readonly bytes: number;
}

/** Where tokens are kept: the trouble with Redis. */
export function redisMetrics(registry: Registry): Pick<Observer, 'redisFailed'> {
  const failures = new Tally<RedisErrorKind>({
    registry,
    name: 'sdk_token_broker_redis_errors_total',
    help: 'Redis commands that failed, by how.',
    label: 'kind',
    values: ['timeout', 'connection', 'readonly', 'oom', 'loading', 'not_sent', 'other'],
  });
  return { redisFailed: (kind) => failures.add(kind) };
}

/** How many tokens are in memory, read from `cache` when somebody asks. */
export function memoryMetrics(registry: Registry, cache: Occupancy): void {
  const registers = [registry];
  new Gauge({
    registers,
    name: 'sdk_token_broker_cached_tokens',
    help: "Tokens in this replica's memory.",
    collect() {
      this.set(cache.size);
    },
  });
  new Gauge({
    registers,
    name: 'sdk_token_broker_cached_tokens_bytes',
    help: "What the tokens in this replica's memory take, roughly; bounded by `CACHE_MAX_MB`.",
    collect() {
      this.set(cache.bytes);
    },
  });
}
