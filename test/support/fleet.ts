import { randomBytes, randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { type CustomerCloud, startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import {
  startVendorSimulator,
  type VendorSimulator,
  type VendorSimulatorOptions,
} from '../../src/simulator/vendor-simulator.ts';
import type { RedisErrorKind } from '../../src/token/observer.ts';
import { type BrokerProcess, type StartOptions, startBroker } from './broker-process.ts';
import { type Replica, startBrokerService } from './broker-service.ts';
import { endWithTest } from './end-with-test.ts';
import { plainRequest } from './plain-request.ts';
import { parsePrometheus } from './prometheus-text.ts';
import { VENDOR_APP } from './vendor-app.ts';

interface ServiceFleetOptions {
  readonly replicas: number;
  readonly vendor?: VendorSimulatorOptions;
  /** Additional settings of every replica. They override the defaults. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface FleetOptions extends ServiceFleetOptions, Pick<StartOptions, 'until' | 'descriptors'> {}

export interface Fleet<Broker extends Replica = BrokerProcess> {
  readonly vendor: VendorSimulator;
  readonly cloud: CustomerCloud;
  readonly brokers: readonly Broker[];
  /** Prefix of all keys of this fleet in Redis. */
  readonly keyPrefix: string;
  /** Environment of the replicas. A test can start more replicas with it. */
  readonly env: Readonly<Record<string, string>>;
  /** Returns the replica for the request of this number: the replicas in turn. */
  broker(number: number): Broker;
  session(unionId: string): Promise<string>;
  close(): Promise<void>;
}

/**
 * Starts real broker processes on one Redis. The vendor and the customer cloud run in this process. They end with the
 * test.
 */
export function startFleet(options: FleetOptions): Promise<Fleet> {
  const kill = (broker: BrokerProcess) => {
    // A replica that shuts down takes seconds.
    broker.signal('SIGKILL');
    return broker.exit;
  };
  return open(options, (env) => startBroker(env, options), kill);
}

/**
 * Starts replicas in this process, on one Redis. For tests that send no signals, that measure no times, and that need
 * neither the memory nor the command line of a replica. They end with the test.
 */
export function startServices(options: ServiceFleetOptions): Promise<Fleet<Replica>> {
  return open(options, startBrokerService, (broker) => broker.stop());
}

async function open<Broker extends Replica>(
  { replicas, vendor: vendorOptions, env: overrides }: ServiceFleetOptions,
  start: (env: Readonly<Record<string, string>>) => Promise<Broker>,
  end: (broker: Broker) => Promise<unknown>,
): Promise<Fleet<Broker>> {
  const vendor = await startVendorSimulator({ apps: [VENDOR_APP], ...vendorOptions });
  const cloud = await startCustomerCloud();
  const keyPrefix = `fleet-${randomUUID()}`;
  const env = {
    NODE_ENV: 'production',
    REDIS_URL: inject('redisUrl'),
    REDIS_KEY_PREFIX: keyPrefix,
    TOKEN_ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
    ...vendor.brokerEnvironment,
    ...cloud.brokerEnvironment,
    // Most tests send many requests at once. Tests of the limits set these themselves.
    VENDOR_MAX_RPS: '0',
    RATE_LIMIT_PER_MINUTE: '0',
    LOGIN_LIMIT_PER_HOUR: '0',
    ...overrides,
  };
  const brokers = await Promise.all(Array.from({ length: replicas }, () => start(env)));
  return {
    vendor,
    cloud,
    brokers,
    keyPrefix,
    env,
    broker(number) {
      const broker = brokers[number % replicas];
      if (!broker) throw new RangeError('a fleet needs a replica');
      return broker;
    },
    session: (unionId) => cloud.issueSession({ unionId, region: 'DE' }),
    close: endWithTest(async () => {
      await Promise.all(brokers.map(end));
      await Promise.all([vendor.close(), cloud.close()]);
    }),
  };
}

/** Commands of all replicas that Redis did not answer in time. */
export async function lateCommands({ brokers }: Pick<Fleet<Replica>, 'brokers'>): Promise<number> {
  return sum(await Promise.all(brokers.map(({ adminUrl }) => failedCommands(adminUrl, ['timeout']))));
}

/** Commands of a replica that have failed. @param kinds as in the metric */
export async function failedCommands(adminUrl: string, kinds: readonly RedisErrorKind[]): Promise<number> {
  const isCounted = (labels: Labels) => kinds.some((kind) => kind === labels['kind']);
  return counted(await metricsOf(adminUrl), 'redis_errors_total', isCounted);
}

/** Login requests of all replicas beyond one for each login, because the vendor did not answer in time or not well. */
export async function repeatedAttempts({ brokers }: Fleet): Promise<number> {
  const ofReplica = async ({ adminUrl }: BrokerProcess) => {
    const metrics = await metricsOf(adminUrl);
    return counted(metrics, 'login_attempts_total') - counted(metrics, 'logins_total');
  };
  return sum(await Promise.all(brokers.map(ofReplica)));
}

type Labels = Readonly<Record<string, string>>;

async function metricsOf(adminUrl: string) {
  return parsePrometheus((await plainRequest(`${adminUrl}/metrics`)).body);
}

type Metrics = Awaited<ReturnType<typeof metricsOf>>;

function counted(metrics: Metrics, metric: string, matches: (labels: Labels) => boolean = () => true): number {
  const samples = metrics.get(`sdk_token_broker_${metric}`)?.samples ?? [];
  return sum(samples.filter(({ labels }) => matches(labels)).map(({ value }) => value));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
