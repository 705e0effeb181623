import { inspect } from 'node:util';
import { Agent } from 'undici';
import { expect, onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { noTracer } from '../../../src/token/tracer.ts';
import { VendorClient, type VendorClientOptions } from '../../../src/vendor-api/client.ts';
import { VendorFault } from '../../../src/vendor-api/faults.ts';
import { createVendorLogin, type VendorLoginOptions } from '../../../src/vendor-api/login.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { type Answering, scriptedVendor } from './scripted-vendor.ts';

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
/** The vendor's refusal of a timestamp. */
export const SKEWED = { code: 10007, msg: 'check sign failed:-2', requestId: 'r-2' };

/** The jitter is 0, so there is no delay between attempts. */
export const hastyClock = { ...systemClock, random: () => 0 };

export const clockWithoutTimers: Clock = {
  ...hastyClock,
  setTimer: () => {
    throw new Error('a timer was started');
  },
};

export const WAY_OUT = {
  clock: systemClock,
  userAgent: 'sdk-token-broker/1.2.3',
  openAgent: (options: Agent.Options) => new Agent(options),
};

/** A client that is closed after the test. */
export function vendorClient(options: Partial<VendorClientOptions> = {}): VendorClient {
  const client = new VendorClient({ ...WAY_OUT, connectTimeoutMs: 10_000, ...options });
  onTestFinished(() => client.close());
  return client;
}

interface Line {
  readonly level: 'warn' | 'error';
  readonly obj: object;
  readonly msg: string;
}

/** A vendor login without a login budget, its log lines from `warn` on, and its events. */
export function vendorLoginAt(baseUrl: URL, options: Partial<VendorLoginOptions> = {}) {
  const lines: Line[] = [];
  const { observer, told } = recordingObserver();
  const vendorLogin = createVendorLogin({
    baseUrl,
    regionUrls: new Map(),
    apps: () => new Map([IOS, ANDROID].map((app) => [app.name, app])),
    timeoutMs: 10_000,
    transport: vendorClient(),
    clock: hastyClock,
    observer,
    tracer: noTracer,
    maxPerSecond: 0,
    queue: { reserve: () => Promise.reject(new Error('the queue must not be used')) },
    openOwnQueue: () => Promise.reject(new Error('the queue must not be used')),
    rates: { take: async () => 0 },
    log: {
      debug: () => undefined,
      info: () => undefined,
      warn: (obj, msg) => lines.push({ level: 'warn', obj, msg }),
      error: (obj, msg) => lines.push({ level: 'error', obj, msg }),
    },
    ...options,
  });
  return { vendorLogin, lines, told };
}

/** A vendor that answers with `answering`, and a login as by {@link vendorLoginAt}. */
export async function loginAt(answering: Answering, options: Partial<VendorLoginOptions> = {}) {
  const vendor = await scriptedVendor(answering);
  return { vendor, ...vendorLoginAt(vendor.url, options) };
}

export async function refusalOf(attempt: Promise<unknown>): Promise<BrokerError> {
  const error = await attempt.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(BrokerError);
  return error as BrokerError;
}

/** The fault of an attempt. It shows nothing of {@link IOS} and {@link SUBJECT}. */
export async function faultOf(attempt: Promise<unknown>): Promise<VendorFault> {
  const error = await attempt.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(VendorFault);
  expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('canary');
  return error as VendorFault;
}
