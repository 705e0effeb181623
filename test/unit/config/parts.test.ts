import { describe, expect, test } from 'vitest';
import { loadConfig, loadStoreConfig, loadVendorConfig } from '../../../src/config/config.ts';
import { problemsOf, USABLE } from './usable-environment.ts';

const ONE_APP = ['VENDOR_APP_ID', 'VENDOR_APP_TOKEN', 'VENDOR_APP_KEY', 'VENDOR_ACCESS_ID'] as const;
const IOS = { appId: 'app-ios', appToken: 'canary-ios-token', appKey: 'canary-ios-key' };
const ANDROID = { appId: 'app-android', appToken: 'canary-token', appKey: 'canary-key', accessId: 'access-1' };
const APPS = JSON.stringify({ ios: IOS, 'android.v2_a-b': ANDROID });

const none = Object.fromEntries(ONE_APP.map((name) => [name, '']));
const SEVERAL = { ...USABLE, ...none, VENDOR_APPS: APPS };

describe('several apps', () => {
  test('replace the single app, each with its name', () => {
    const { apps } = loadConfig(SEVERAL).vendor;
    expect([...apps]).toEqual([
      ['ios', { ...IOS, name: 'ios', accessId: 'app-ios' }],
      ['android.v2_a-b', { ...ANDROID, name: 'android.v2_a-b' }],
    ]);
    expect(loadVendorConfig(SEVERAL).apps).toEqual(apps);
  });

  test('are at most 64', () => {
    const problemsOfApps = (count: number) => {
      const apps = Array.from({ length: count }, (_, number) => [`app-${number}`, { ...IOS, appId: `app-${number}` }]);
      return problemsOf({ ...SEVERAL, VENDOR_APPS: JSON.stringify(Object.fromEntries(apps)) });
    };
    expect(problemsOfApps(64)).toEqual([]);
    expect(problemsOfApps(65)).toEqual([expect.stringContaining('1 to 64 apps')]);
  });

  test.each(ONE_APP)('exclude %s, and the problem names it', (name) => {
    const problem = `VENDOR_APPS replaces ${name}: set one or the other`;
    expect(problemsOf({ ...SEVERAL, [name]: 'canary' })).toEqual([problem]);
    expect(() => loadVendorConfig({ ...SEVERAL, [name]: 'canary' })).toThrow(problem);
  });
});

describe('the configuration of the vendor alone', () => {
  test('needs no other setting, and does not report problems of others', () => {
    const { VENDOR_BASE_URL, VENDOR_APP_ID, VENDOR_APP_TOKEN, VENDOR_APP_KEY } = USABLE;
    const vendor = { VENDOR_BASE_URL, VENDOR_APP_ID, VENDOR_APP_TOKEN, VENDOR_APP_KEY, PORT: 'x' };
    expect(loadVendorConfig(vendor)).toEqual(loadConfig(USABLE).vendor);
    expect(() => loadVendorConfig({ ...vendor, VENDOR_TIMEOUT_MS: '1', VENDOR_APP_ID: '' })).toThrow(
      /:\n {2}- VENDOR_TIMEOUT_MS must be .*\n {2}- VENDOR_APP_ID is required: .*$/,
    );
  });
});

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
