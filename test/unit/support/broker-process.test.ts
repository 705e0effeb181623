import { expect, it } from 'vitest';
import { startBroker } from '../../support/broker-process.ts';

const sufficient = {
  VENDOR_BASE_URL: 'http://127.0.0.1:9',
  VENDOR_APP_ID: 'app',
  VENDOR_APP_TOKEN: 'app-token',
  VENDOR_APP_KEY: 'app-key',
  SESSION_JWT_SECRET: 'a-secret-of-thirty-two-bytes-or-more',
  SESSION_JWT_ISSUER: 'https://customer-cloud.example',
  SESSION_JWT_AUDIENCE: 'sdk-token-broker',
};

it('a broker inherits no environment, and if it cannot start, the error contains its output', async () => {
  Object.assign(process.env, sufficient);
  try {
    await expect(startBroker({})).rejects.toThrow('VENDOR_BASE_URL');
  } finally {
    for (const name of Object.keys(sufficient)) delete process.env[name];
  }
});
