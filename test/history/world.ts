import { randomBytes } from 'node:crypto';
import { type CustomerCloud, startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import { startVendorSimulator, type VendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { Recorder } from '../judge/recording.ts';
import type { StartOptions } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { plainRequest } from '../support/plain-request.ts';
import { VENDOR_APP } from '../support/vendor-app.ts';
import { REAL_BOUNDS } from './bounds.ts';
import { type RedisTopology, type RedisUnderTest, startRedisUnderTest } from './redis-under-test.ts';
import { Replica } from './replica.ts';

export const ADMIN_TOKEN = 'history-admin-token';
/** Latency of a vendor in good health. */
export const VENDOR_LATENCY_MS = 40;

export interface World {
  readonly topology: RedisTopology;
  readonly history: Recorder;
  readonly replicas: readonly Replica[];
  readonly redis: RedisUnderTest;
  readonly vendor: VendorSimulator;
  readonly cloud: CustomerCloud;
  /** Kills what still runs. */
  close(): Promise<void>;
}

export interface WorldOptions {
  readonly topology: RedisTopology;
  readonly tokenLifeSeconds: number;
  /** An empty folder for all files of the run. */
  readonly folder: string;
  readonly replicas: number;
  /** See {@link Replica}. */
  readonly fakeTime?: string;
  /** Of the first start of the replicas. */
  readonly start?: StartOptions;
}

/** Starts the replicas, their Redis, and the vendor where each login of a terminal ends its former token. */
export async function startWorld(options: WorldOptions): Promise<World> {
  const { topology, tokenLifeSeconds, folder, fakeTime } = options;
  const losesAnnouncements = topology === 'cluster' ? 'after a lost master' : 'never';
  const startedAt = performance.now();
  const history = new Recorder({ ...REAL_BOUNDS, losesAnnouncements }, () => performance.now() - startedAt, false);
  history.replicas = options.replicas;
  const redis = await startRedisUnderTest(topology, options.replicas, folder);
  const vendor = await startVendorSimulator({
    apps: [VENDOR_APP],
    mode: 'replace',
    tokenLifetimeSeconds: tokenLifeSeconds,
    latencyMs: VENDOR_LATENCY_MS,
    watchLogin: ({ unionId, uniqueId }) => {
      const login = history.loginReceived({ account: unionId, uniqueId });
      return ({ token, isDelivered }) => {
        login.answeredAt = history.now();
        if (!token) return;
        login.token = token.accessToken;
        login.expiresAt = login.answeredAt + token.expiresAt - Date.now();
        if (isDelivered) login.deliveredAt = login.answeredAt;
      };
    },
  });
  const cloud = await startCustomerCloud();
  const env = {
    NODE_ENV: 'production',
    LOG_LEVEL: 'warn',
    REDIS_KEY_PREFIX: 'history',
    TOKEN_ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
    ADMIN_TOKEN,
    ...vendor.brokerEnvironment,
    ...cloud.brokerEnvironment,
    VENDOR_MAX_RPS: `${REAL_BOUNDS.loginsPerSecond}`,
    RATE_LIMIT_PER_MINUTE: '0',
    LOGIN_LIMIT_PER_HOUR: '0',
  };
  const replicas = Array.from(
    { length: options.replicas },
    (_, index) => new Replica({ index, env: { ...env, REDIS_URL: redis.urlOf(index) }, folder, fakeTime }),
  );
  const close = async () => {
    await Promise.all(replicas.map((replica) => replica.kill()));
    await Promise.all([vendor.close(), cloud.close(), redis.close()]);
  };
  try {
    for (const replica of replicas) await replica.start(options.start);
    await untilReady(replicas);
  } catch (error) {
    await close();
    throw error;
  }
  return { topology, history, replicas, redis, vendor, cloud, close };
}

/** Resolves when every replica answers `/readyz` with 200. */
export async function untilReady(replicas: readonly Replica[]): Promise<void> {
  for (const { urls } of replicas) {
    const isReady = async () => (await plainRequest(`${urls?.public}/readyz`, { timeoutMs: 2_000 })).status === 200;
    await eventually(isReady, { everyMs: 50 });
  }
}
