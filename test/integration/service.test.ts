import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { type Service, startService } from '../../src/service.ts';
import { startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import { startVendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { getTokenAt } from '../support/broker-process.ts';
import { captureLog } from '../support/captured-log.ts';
import { eventually } from '../support/eventually.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { PATIENT } from '../support/filled-store.ts';
import { freePort } from '../support/free-port.ts';
import { plainRequest } from '../support/plain-request.ts';
import { redisClient } from '../support/redis-client.ts';
import { startRedis } from '../support/redis-server.ts';
import { accessTokenOf } from '../support/served-token.ts';

const UNION_ID = 'union-canary-3d4e5f';
const UNIQUE_ID = 'terminal-canary-6a7b8c';

type Environment = Readonly<Record<string, string>>;

/** Starts a vendor and a customer cloud. `start` starts a service in this process that uses both. */
async function open(store: Environment) {
  const vendor = await startVendorSimulator();
  onTestFinished(() => vendor.close());
  const cloud = await startCustomerCloud();
  onTestFinished(() => cloud.close());
  const session = await cloud.issueSession({ unionId: UNION_ID, region: 'DE' });
  const log = captureLog('debug');
  const start = async (more: Environment = {}): Promise<Service> => {
    const config = loadConfig({
      HOST: '127.0.0.1',
      PORT: '0',
      ADMIN_PORT: '0',
      RATE_LIMIT_PER_MINUTE: '0',
      LOGIN_LIMIT_PER_HOUR: '0',
      VENDOR_MAX_RPS: '0',
      ...vendor.brokerEnvironment,
      ...cloud.brokerEnvironment,
      ...store,
      ...more,
    });
    const redis = config.redis && { ...config.redis, ...PATIENT };
    const service = await startService({ ...config, redis }, log.logger, '1.2.3');
    onTestFinished(() => service.close());
    await eventually(async () => (await plainRequest(`${service.url}/readyz`)).status === 200);
    return service;
  };
  const getToken = ({ url }: Service) => getTokenAt(url)(session, UNIQUE_ID);
  return { vendor, log, session, start, getToken };
}

const onRedis = (url = inject('redisUrl')): Environment => ({
  REDIS_URL: url,
  REDIS_KEY_PREFIX: `service-${randomUUID()}`,
  TOKEN_ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
});

test('a service opens its port only when Redis has answered, so that its first request finds the tokens of others', async () => {
  const store = onRedis();
  const { vendor, session, start, getToken } = await open(store);
  const token = accessTokenOf(await getToken(await start()));
  const proxy = await startFaultProxy(Number(new URL(store['REDIS_URL'] ?? '').port));
  proxy.set({ kind: 'delay', ms: 100 });
  const port = await freePort();
  const starting = start({ PORT: `${port}`, REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
  const first = await eventually(() => getTokenAt(`http://127.0.0.1:${port}`)(session, UNIQUE_ID));
  expect(accessTokenOf(first)).toBe(token);
  expect(vendor.loginsOf(UNION_ID, UNIQUE_ID)).toBe(1);
  await starting;
});

test('a service that may cache more tokens than fit into its container says so', async () => {
  const container = vi.spyOn(process, 'constrainedMemory').mockReturnValue(300 * 2 ** 20);
  onTestFinished(() => container.mockRestore());
  const { log, start } = await open({});
  await start({ CACHE_MAX_MB: '100' });
  const line = log.lines().find(({ msg }) => `${msg}`.startsWith('CACHE_MAX_MB is too large'));
  // 30 % of what an empty replica leaves, whose new objects take more with Node.js 24.
  expect(line?.['allowedMb']).toBeOneOf([6, 49]);
});

describe('a service with a separate Redis', () => {
  test('leaves no connection open, after it closes and after a start that fails', async () => {
    const redis = await startRedis();
    const operator = redisClient(redis.url);
    const connections = async () => String(await operator.call('CLIENT', 'LIST')).match(/sdk-token-broker:/g)?.length;
    const { start } = await open(onRedis(redis.url));
    const service = await start();
    await eventually(async () => (await connections()) === 2);
    await expect(start({ PORT: new URL(service.url).port })).rejects.toThrow('EADDRINUSE');
    await eventually(async () => (await connections()) === 2);
    await service.close();
    await eventually(async () => (await connections()) === undefined);
  });
});

describe('a service without Redis', () => {
  test('warns that only one replica may run', async () => {
    const { log, start } = await open({});
    await start();
    expect(log.lines()).toContainEqual(
      expect.objectContaining({ level: 'warn', msg: expect.stringContaining('run a single replica') }),
    );
  });
});
