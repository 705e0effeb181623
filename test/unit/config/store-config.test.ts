import { describe, expect, test } from 'vitest';
import { loadConfig, loadStoreConfig } from '../../../src/config/config.ts';
import { USABLE } from './usable-environment.ts';

const KEYS = `k2:${Buffer.alloc(32, 2).toString('base64')},k1:${Buffer.alloc(32, 1).toString('base64')}`;
const STORE = { REDIS_URL: 'redis://redis.example', REDIS_KEY_PREFIX: 'x', TOKEN_ENCRYPTION_KEYS: KEYS };

describe('the configuration of the store alone', () => {
  test('needs no other setting, and does not report problems of others', () => {
    expect(loadStoreConfig({ ...STORE, PORT: 'x', VENDOR_TIMEOUT_MS: 'x' })).toEqual(
      loadConfig({ ...USABLE, ...STORE }).redis,
    );
  });

  test('needs REDIS_URL, and encryption keys in production', () => {
    expect(() => loadStoreConfig({})).toThrow(/:\n {2}- REDIS_URL is required: .*$/);
    const { TOKEN_ENCRYPTION_KEYS: _, ...rest } = STORE;
    expect(loadStoreConfig(rest).encryptionKeys).toEqual([]);
    expect(() => loadStoreConfig({ ...rest, NODE_ENV: 'production' })).toThrow(
      /:\n {2}- TOKEN_ENCRYPTION_KEYS is required .*$/,
    );
  });
});
