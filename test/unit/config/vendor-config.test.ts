import { describe, expect, test } from 'vitest';
import { loadConfig, loadVendorConfig } from '../../../src/config/config.ts';
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

  test.each([
    '{}',
    '[]',
    'canary',
    '"canary"',
    '{"canary"',
    JSON.stringify({ ios: { ...IOS, appKey: '' } }),
    JSON.stringify({ ios: { ...IOS, appKey: undefined } }),
    JSON.stringify({ ios: { ...IOS, appKey: 7 } }),
    JSON.stringify({ ios: { ...IOS, accessId: '' } }),
    JSON.stringify({ ios: { ...IOS, canary: 'canary' } }),
    `{"ios":${JSON.stringify(IOS)},"ios":${JSON.stringify(ANDROID)}}`,
    `{"ios":{"appKey":"canary",${JSON.stringify(IOS).slice(1)}}`,
    JSON.stringify({ 'canary ios': IOS }),
    JSON.stringify({ ['canary'.repeat(11)]: IOS }),
    JSON.stringify({ ios: { ...IOS, appId: 'canary\n' } }),
    JSON.stringify({ ios: { ...IOS, accessId: 'canary ios' } }),
    JSON.stringify({ ios: { ...IOS, appToken: 'canary\n' } }),
    JSON.stringify({ ios: { ...IOS, appKey: 'canary\r' } }),
    JSON.stringify({ ios: { ...IOS, appToken: ' canary' } }),
    JSON.stringify({ ios: { ...IOS, appKey: '\ufeffcanary' } }),
    JSON.stringify({ ios: { ...IOS, appKey: '"canary"' } }),
    '{"":{}}',
    `{"__proto__":${JSON.stringify(IOS)}}`,
  ])('that are not valid are reported without their values: %s', (apps) => {
    const problems = problemsOf({ ...SEVERAL, VENDOR_APPS: apps });
    expect(problems).toEqual([
      'VENDOR_APPS must be a JSON object of 1 to 64 apps by different names (letters, digits, dots, underscores, hyphens), ' +
        'like {"ios":{"appId":"…","appToken":"…","appKey":"…"}}, with accessId as the only other field, ' +
        'each appId and accessId in visible ASCII characters without a space or a line break, and each appToken and appKey without control characters, ' +
        'and without white space, quotes or a byte order mark around it',
    ]);
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
