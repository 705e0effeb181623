import { expect, onTestFinished } from 'vitest';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { silentObserver } from '../../../src/token/observer.ts';
import { HttpVendorLogin, type HttpVendorLoginOptions } from '../../../src/vendor-api/login.ts';

export const IOS = {
  name: 'ios',
  appId: 'canary-ios',
  appToken: 'canary-token',
  appKey: 'canary-key',
  accessId: 'canary-access',
};
const ANDROID = { ...IOS, name: 'android', appId: 'canary-android', accessId: 'canary-other' };
export const SUBJECT = { app: 'ios', unionId: 'canary-union😀"', uniqueId: 'canary-phone' };
export const REQUEST = { subject: SUBJECT, region: 'CN', budgetMs: 20_000, urgency: 'foreground' as const };
/** The vendor's no to a timestamp. */
export const SKEWED = { code: 10007, msg: 'check sign failed:-2', requestId: 'r-2' };

/** Between attempts it does not wait: jitter may be none at all. */
export const hastyClock = { ...systemClock, random: () => 0 };

interface Line {
  readonly level: 'warn' | 'error';
  readonly obj: object;
  readonly msg: string;
}

/** An issuer without a login budget, and what it logs from warnings on. Ends with the test. */
export function issuerAt(baseUrl: URL, options: Partial<HttpVendorLoginOptions> = {}) {
  const lines: Line[] = [];
  const issuer = new HttpVendorLogin({
    baseUrl,
    regionUrls: new Map(),
    apps: new Map([IOS, ANDROID].map((app) => [app.name, app])),
    timeoutMs: 10_000,
    clock: hastyClock,
    observer: silentObserver,
    maxPerSecond: 0,
    queue: { reserve: () => Promise.reject(new Error('there is no budget to be asked for')) },
    log: {
      debug: () => undefined,
      info: () => undefined,
      warn: (obj, msg) => lines.push({ level: 'warn', obj, msg }),
      error: (obj, msg) => lines.push({ level: 'error', obj, msg }),
    },
    ...options,
  });
  onTestFinished(() => issuer.close());
  return { issuer, lines };
}

export async function refusalOf(attempt: Promise<unknown>): Promise<BrokerError> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(BrokerError);
  return error as BrokerError;
}
