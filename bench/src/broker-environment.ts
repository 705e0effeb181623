import { DEMO_APP } from '../../src/simulator/vendor-simulator.ts';
import { ENCRYPTION_KEYS, KEY_PREFIX } from './broker-store.ts';

/**
 * The broker as it is run, but for two bounds: what an account may ask is counted, and what all may cost at the vendor
 * is budgeted, yet neither bound is reached. Besides these it needs Redis, the vendor and the sessions' key.
 */
export const brokerEnvironment = {
  ADMIN_PORT: '0',
  REDIS_KEY_PREFIX: KEY_PREFIX,
  TOKEN_ENCRYPTION_KEYS: ENCRYPTION_KEYS,
  VENDOR_APP_ID: DEMO_APP.appId,
  VENDOR_APP_TOKEN: DEMO_APP.appToken,
  VENDOR_APP_KEY: DEMO_APP.appKey,
  VENDOR_MAX_RPS: '10000',
  RATE_LIMIT_PER_MINUTE: '1000000',
};
