import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Refusal } from './refusal.ts';
import { MODES, type Mode } from './vendor-world.ts';

/** What can befall a login that passed every check. */
export const FAULTS = [
  'none',
  'http-500',
  'reset',
  'hang',
  'html',
  'cut-off',
  'endless',
  'no-token',
  'past-expiry',
  'maintenance',
  'too-frequent',
  'account-closed',
  'frozen-app',
] as const;
export type Fault = (typeof FAULTS)[number];

/** Seconds the `too-frequent` fault asks its caller to wait. */
const RETRY_AFTER_SECONDS = '2';

/** Faults that are a refusal like any other; the login does not take effect. */
export function refusalBy(fault: Fault): Refusal | undefined {
  switch (fault) {
    case 'maintenance':
      return new Refusal('maintenance', 'system maintenance');
    case 'too-frequent':
      return new Refusal('tooFrequent', 'request too frequent', {
        status: 429,
        headers: { 'retry-after': RETRY_AFTER_SECONDS },
      });
    case 'account-closed':
      return new Refusal('accountClosed', 'account closed');
    case 'frozen-app':
      return new Refusal('appFrozen', 'app frozen');
    default:
      return undefined;
  }
}

/**
 * Faults in which something other than the vendor's answer comes, if anything; the login does not take effect.
 * @returns whether `fault` is one of them
 */
export async function answerAmiss(fault: Fault, response: ServerResponse): Promise<boolean> {
  switch (fault) {
    case 'http-500':
      response.writeHead(500, { 'content-type': 'text/plain' }).end('Internal Server Error');
      return true;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Gateway</title>');
      return true;
    case 'reset':
      response.socket?.resetAndDestroy();
      return true;
    case 'hang':
      return true;
    case 'endless':
      response.writeHead(200, { 'content-type': 'application/json' });
      await pipeline(Readable.from(endlessJson()), response);
      return true;
    default:
      return false;
  }
}

/** The `cut-off` fault: the connection ends half way through the answer to a login that took effect. */
export function cutOff(response: ServerResponse, answer: string): void {
  const bytes = Buffer.from(answer);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': bytes.length });
  response.write(bytes.subarray(0, bytes.length / 2), () => response.socket?.destroy());
}

function* endlessJson(): Generator<string> {
  yield '{"code":0,"msg":"';
  for (;;) yield 'endless '.repeat(1024);
}

/** How `expireTime` is written; the vendor's documents and samples disagree. The absolute forms are epoch seconds. */
const EXPIRE_TIME_FORMS = ['absolute-number', 'absolute-string', 'lifetime', 'milliseconds'] as const;
export type ExpireTimeForm = (typeof EXPIRE_TIME_FORMS)[number];

/** What can be changed while the simulator runs. */
export interface VendorSettings {
  /** Ms between a login's arrival and its answer. */
  readonly latencyMs: number;
  /** Tokens expire to the ms; `expireTime` says it in whole seconds, rounded down. */
  readonly tokenLifetimeSeconds: number;
  readonly mode: Mode;
  /** Over it a login is refused with 10015. 0: no limit. */
  readonly maxLoginsPerSecond: number;
  readonly expireTimeForm: ExpireTimeForm;
  /** How far the vendor's clock, and its `Date` header, is ahead. */
  readonly clockOffsetMs: number;
  /** Befalls logins that would otherwise succeed. */
  readonly fault: Fault;
  /** How many more logins the fault befalls. `null`: all, until it is changed. Setting `fault` alone makes it `null`. */
  readonly faultCount: number | null;
}

const defaultSettings: VendorSettings = {
  latencyMs: 0,
  tokenLifetimeSeconds: 30 * 86_400,
  mode: 'overlap',
  maxLoginsPerSecond: 0,
  expireTimeForm: 'absolute-number',
  clockOffsetMs: 0,
  fault: 'none',
  faultCount: null,
};

/** Ten years: the clock stays one a Date header can show. */
const FARTHEST_CLOCK_MS = 10 * 365 * 86_400_000;

/** Lowest and highest. */
export const SETTING_BOUNDS = {
  latencyMs: [0, 600_000],
  tokenLifetimeSeconds: [1, 999_999_999],
  maxLoginsPerSecond: [0, 1_000_000],
} as const;

interface Rule {
  readonly allowed: string;
  readonly permits: (value: unknown) => boolean;
}

const RULES: Readonly<Record<keyof VendorSettings, Rule>> = {
  latencyMs: numberWithin(...SETTING_BOUNDS.latencyMs),
  tokenLifetimeSeconds: numberWithin(...SETTING_BOUNDS.tokenLifetimeSeconds),
  mode: oneOf(MODES),
  maxLoginsPerSecond: numberWithin(...SETTING_BOUNDS.maxLoginsPerSecond),
  expireTimeForm: oneOf(EXPIRE_TIME_FORMS),
  clockOffsetMs: numberWithin(-FARTHEST_CLOCK_MS, FARTHEST_CLOCK_MS),
  fault: oneOf(FAULTS),
  faultCount: {
    allowed: 'a whole number from 1, or null',
    permits: (value) => value === null || (Number.isSafeInteger(value) && Number(value) >= 1),
  },
};

/** Says which settings are wrong and what is allowed. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

/** @throws SettingsError with every problem */
export function changeSettings(change: unknown, current: VendorSettings = defaultSettings): VendorSettings {
  if (typeof change !== 'object' || change === null || Array.isArray(change)) {
    throw new SettingsError('settings must be an object');
  }
  const problems = Object.entries(change).flatMap(([name, value]) => problemOf(name, value) ?? []);
  if (problems.length > 0) throw new SettingsError(problems.join('; '));
  return { ...current, ...('fault' in change && { faultCount: null }), ...change };
}

/** The settings once the fault has befallen one more login. */
export function afterFault(settings: VendorSettings): VendorSettings {
  if (settings.faultCount === null) return settings;
  if (settings.faultCount === 1) return { ...settings, fault: 'none', faultCount: null };
  return { ...settings, faultCount: settings.faultCount - 1 };
}

function problemOf(name: string, value: unknown): string | undefined {
  if (!Object.hasOwn(RULES, name)) return `unknown setting ${name}, allowed are ${Object.keys(RULES).join(', ')}`;
  const rule = RULES[name as keyof VendorSettings];
  return rule.permits(value) ? undefined : `${name} must be ${rule.allowed}`;
}

function numberWithin(lowest: number, highest: number): Rule {
  return {
    allowed: `a whole number from ${lowest} to ${highest}`,
    permits: (value) => Number.isInteger(value) && Number(value) >= lowest && Number(value) <= highest,
  };
}

function oneOf(values: readonly string[]): Rule {
  return {
    allowed: `one of ${values.join(', ')}`,
    permits: (value) => typeof value === 'string' && values.includes(value),
  };
}
