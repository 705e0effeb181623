import { afterEach, expect, it } from 'vitest';
import { type BrokerProcess, startBroker } from '../../support/broker-process.ts';
import { plainRequest } from '../../support/plain-request.ts';

const sufficient = {
  VENDOR_BASE_URL: 'http://127.0.0.1:9',
  VENDOR_APP_ID: 'app',
  VENDOR_APP_TOKEN: 'app-token',
  VENDOR_APP_KEY: 'app-key',
  SESSION_JWT_SECRET: 'a-secret-of-thirty-two-bytes-or-more',
  SESSION_JWT_ISSUER: 'https://customer-cloud.example',
  SESSION_JWT_AUDIENCE: 'sdk-token-broker',
};

const started: BrokerProcess[] = [];

afterEach(async () => {
  await Promise.all(started.splice(0).map((broker) => broker.stop()));
});

it('a started broker is ready and shuts down gracefully', async () => {
  const broker = await startBroker(sufficient);
  started.push(broker);
  expect((await plainRequest(`${broker.url}/livez`)).status).toBe(200);
  expect((await broker.getToken('no-session', 'terminal')).status).toBe(401);
  expect(broker.log()).not.toEqual([]);
  expect(await broker.stop()).toEqual({ code: 0, signal: null });
});

it('a broker process can be killed like in a crash', async () => {
  const broker = await startBroker(sufficient);
  started.push(broker);
  broker.signal('SIGKILL');
  expect(await broker.exit).toEqual({ code: null, signal: 'SIGKILL' });
});

it('a broker inherits no environment, and if it cannot start, the error contains its output', async () => {
  Object.assign(process.env, sufficient);
  try {
    await expect(startBroker({})).rejects.toThrow('VENDOR_BASE_URL');
  } finally {
    for (const name of Object.keys(sufficient)) delete process.env[name];
  }
});
