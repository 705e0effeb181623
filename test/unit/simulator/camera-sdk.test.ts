import { describe, expect, onTestFinished, test } from 'vitest';
import { CameraSdk } from '../../../src/simulator/camera-sdk.ts';
import { startVendorSimulator, type VendorSimulatorOptions } from '../../../src/simulator/vendor-simulator.ts';
import { settableClock } from './settable-clock.ts';
import { logIn } from './vendor-login.ts';

const CREDENTIALS = {
  accessId: '-9223371996052586423',
  accessToken: 'access-token-canary',
  expireTime: '1699349988',
  terminalId: '-9223371996052586424',
  expend: '{"area":"cn","regRegion":"CN"}',
};
const NO_VENDOR = 'http://127.0.0.1:9';

async function atVendor(options: VendorSimulatorOptions = {}) {
  const vendor = await startVendorSimulator(options);
  onTestFinished(() => vendor.close());
  const credentials = async () => {
    const { data } = await logIn(vendor);
    return { ...data, expireTime: String(data.expireTime), expend: data.expand };
  };
  return { vendor, sdk: new CameraSdk(vendor.url, credentials) };
}

describe('the camera SDK', () => {
  test('accepts the five strings and ignores the other fields of an answer', async () => {
    const sdk = new CameraSdk(NO_VENDOR, async () => ({ ...CREDENTIALS, expand: 'more', nickname: 7 }));
    expect(await sdk.logIn()).toEqual(CREDENTIALS);
  });

  describe.each(Object.keys(CREDENTIALS))('without %s', (name) => {
    test.each([undefined, null, '', 1_699_349_988, {}])('rejects credentials: %j', async (value) => {
      const sdk = new CameraSdk(NO_VENDOR, async () => ({ ...CREDENTIALS, [name]: value }));
      const refusal = await sdk.logIn().catch((error: Error) => error.message);
      expect(refusal).toBe(`the SDK takes no credentials without ${name}`);
    });
  });

  test('is online with a token the vendor issued', async () => {
    const { sdk } = await atVendor();
    expect(await sdk.isOnline(await sdk.logIn())).toBe(true);
  });

  test('is offline with a token the vendor never issued', async () => {
    const { sdk } = await atVendor();
    expect(await sdk.isOnline(CREDENTIALS)).toBe(false);
  });

  test('is offline after its terminal has logged in again, if the vendor replaces tokens', async () => {
    const { sdk } = await atVendor({ mode: 'replace' });
    const first = await sdk.logIn();
    const second = await sdk.logIn();
    expect([await sdk.isOnline(first), await sdk.isOnline(second)]).toEqual([false, true]);
  });

  test('is offline after its token has expired', async () => {
    const clock = settableClock(Date.now());
    const { sdk } = await atVendor({ clock, tokenLifetimeSeconds: 60 });
    const info = await sdk.logIn();
    expect(await sdk.isOnline(info)).toBe(true);
    clock.time += 60_000;
    expect(await sdk.isOnline(info)).toBe(false);
  });
});
