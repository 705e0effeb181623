import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { LoginOutcome, Observer, RedisErrorKind } from '../token/observer.ts';
import { Tally } from './fast-counters.ts';
import { readMetrics } from './read-metrics.ts';
import { renewalMetrics } from './renewal-metrics.ts';
import { vendorMetrics } from './vendor-metrics.ts';

/** What a replica keeps in memory. */
export interface Occupancy {
  readonly size: number;
  readonly bytes: number;
}

/** Where tokens are kept: the trouble with Redis. */
function redisMetrics(registry: Registry): Pick<Observer, 'redisFailed'> {
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
function memoryMetrics(registry: Registry, cache: Occupancy): void {
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

export interface MetricsOptions {
  /** The service's. */
  readonly version: string;
  /** The vendor's result codes that are counted by themselves, with what they come to: what else it sends is `other`. */
  readonly vendorResults: ReadonlyMap<number, LoginOutcome>;
}

export interface Metrics {
  /** Counts what it is told. */
  readonly observer: Observer;
  /** Shows how many tokens `cache` holds from now on. */
  watch(cache: Occupancy): void;
  /** All that was counted, with the state of the process, in the Prometheus text format. */
  scrape(): Promise<{ readonly contentType: string; readonly body: string }>;
}

/** The metrics of one replica (docs/metrics.md). */
export function createMetrics({ version, vendorResults }: MetricsOptions): Metrics {
  const registry = new Registry();
  const observer = {
    ...readMetrics(registry),
    ...renewalMetrics(registry),
    ...vendorMetrics(registry, vendorResults),
    ...redisMetrics(registry),
  };
  new Gauge({
    registers: [registry],
    name: 'sdk_token_broker_build_info',
    help: 'Always 1, for the version of the service and that of Node.js.',
    labelNames: ['version', 'node_version'],
  }).set({ version, node_version: process.version }, 1);
  collectDefaultMetrics({ register: registry });
  return {
    observer,
    watch: (cache) => memoryMetrics(registry, cache),
    scrape: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}
