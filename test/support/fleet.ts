import { randomBytes, randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { type CustomerCloud, startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import {
  startVendorSimulator,
  type VendorSimulator,
  type VendorSimulatorOptions,
} from '../../src/simulator/vendor-simulator.ts';
import { type BrokerProcess, startBroker } from './broker-process.ts';

interface FleetOptions {
  readonly replicas: number;
  readonly vendor?: VendorSimulatorOptions;
  /** Further settings of every replica, or others in place of the usual ones. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Fleet {
  readonly vendor: VendorSimulator;
  readonly cloud: CustomerCloud;
  readonly brokers: readonly BrokerProcess[];
  /** Under which everything of this fleet lies in Redis. */
  readonly keyPrefix: string;
  /** The environment the replicas run in, to start more of them. */
  readonly env: Readonly<Record<string, string>>;
  /** The replica a request of this number goes to: one after the other. */
  broker(number: number): BrokerProcess;
  session(unionId: string): Promise<string>;
  close(): Promise<void>;
}

/** Real broker processes on one Redis, with a vendor and a customer cloud in this process. */
export async function startFleet({ replicas, vendor: options, env: more }: FleetOptions): Promise<Fleet> {
  const vendor = await startVendorSimulator(options);
  const cloud = await startCustomerCloud();
  const keyPrefix = `fleet-${randomUUID()}`;
  const env = {
    NODE_ENV: 'production',
    REDIS_URL: inject('redisUrl'),
    REDIS_KEY_PREFIX: keyPrefix,
    TOKEN_ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
    ...vendor.brokerEnvironment,
    ...cloud.brokerEnvironment,
    // Most tests are about crowds; those about limits set them.
    VENDOR_MAX_RPS: '0',
    RATE_LIMIT_PER_MINUTE: '0',
    ...more,
  };
  const brokers = await Promise.all(Array.from({ length: replicas }, () => startBroker(env)));
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
    async close() {
      await Promise.all(brokers.map((broker) => broker.stop()));
      await Promise.all([vendor.close(), cloud.close()]);
    },
  };
}

/** The token in an answer. */
export function accessTokenOf({ body }: { readonly body: string }): string {
  return JSON.parse(body).accessToken;
}
