import * as z from 'zod';
import { BadRequest } from './http-server.ts';

/** Errors that the simulator can produce for a login that passed every check. */
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

/** A second login of a terminal leaves its first token valid, or ends it. The vendor's documents do not say which. */
const MODES = ['overlap', 'replace'] as const;
export type Mode = (typeof MODES)[number];

/** The unit of `expireTime`. The vendor sends epoch seconds. Epoch milliseconds allow tests with short lives. */
const EXPIRE_TIME_UNITS = ['s', 'ms'] as const;

/** Ten years. A Date header can show any clock within this offset. */
const MAX_CLOCK_OFFSET_MS = 10 * 365 * 86_400_000;

/** The allowed values of a setting or a flag. */
export type Rule<Value> = z.ZodType<Value>;

/** The allowed values of the settings that can change while the simulator runs. */
export const RULES = {
  /** Time between the arrival of a login and its answer, in ms. */
  latencyMs: wholeNumber(0, 600_000),
  /** Tokens expire to the ms. `expireTime` gives the time in its unit, rounded down. */
  tokenLifetimeSeconds: wholeNumber(1, 999_999_999),
  mode: oneOf(MODES),
  /** Logins above this limit are refused with 10015. 0: no limit. */
  maxLoginsPerSecond: wholeNumber(0, 1_000_000),
  expireTimeUnit: oneOf(EXPIRE_TIME_UNITS),
  /** How far the vendor's clock, and its `Date` header, is ahead, in ms. */
  clockOffsetMs: wholeNumber(-MAX_CLOCK_OFFSET_MS, MAX_CLOCK_OFFSET_MS),
  /** Applies to logins that would otherwise succeed. */
  fault: oneOf(FAULTS),
  /** Number of logins that the fault still applies to; `null`: all. Setting `fault` alone sets this to `null`. */
  faultCount: wholeNumber(1, Number.MAX_SAFE_INTEGER, 'must be a whole number from 1, or null').nullable(),
};

const vendorSettings = z.strictObject(RULES, {
  error: ({ keys }) => `unknown setting ${[keys].flat().join(', ')}, allowed are ${Object.keys(RULES).join(', ')}`,
});

export type VendorSettings = Readonly<z.infer<typeof vendorSettings>>;

const defaultSettings: VendorSettings = {
  latencyMs: 0,
  tokenLifetimeSeconds: 30 * 86_400,
  mode: 'overlap',
  maxLoginsPerSecond: 0,
  expireTimeUnit: 's',
  clockOffsetMs: 0,
  fault: 'none',
  faultCount: null,
};

/** @throws BadRequest that names every wrong setting, and the values that are allowed */
export function changeSettings(change: unknown, current = defaultSettings): VendorSettings {
  if (typeof change !== 'object' || change === null || Array.isArray(change)) {
    throw new BadRequest('settings must be an object');
  }
  const changed = { ...current, ...('fault' in change && { faultCount: null }), ...change };
  const { data, error } = vendorSettings.safeParse(changed);
  if (data) return data;
  // A number that is too large is no safe integer either.
  const problems = new Set(error.issues.map(({ path, message }) => [...path, message].join(' ')));
  throw new BadRequest([...problems].join('; '));
}

/** The settings after the fault was applied to one more login. */
export function afterFault(settings: VendorSettings): VendorSettings {
  if (settings.faultCount === null) return settings;
  if (settings.faultCount === 1) return { ...settings, fault: 'none', faultCount: null };
  return { ...settings, faultCount: settings.faultCount - 1 };
}

export function wholeNumber(
  lowest: number,
  highest: number,
  error = `must be a whole number from ${lowest} to ${highest}`,
) {
  return z.int({ error }).min(lowest, { error }).max(highest, { error });
}

function oneOf<const Values extends readonly string[]>(values: Values) {
  return z.enum(values, { error: `must be one of ${values.join(', ')}` });
}
