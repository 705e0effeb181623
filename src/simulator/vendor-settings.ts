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

/**
 * Whether a second login of a terminal leaves its first token valid (`overlap`) or ends it at once (`replace`). The
 * vendor's documents do not say which.
 */
const MODES = ['overlap', 'replace'] as const;
export type Mode = (typeof MODES)[number];

/** The unit of `expireTime`. The vendor sends epoch seconds. Epoch milliseconds allow tests with short lives. */
const EXPIRE_TIME_UNITS = ['s', 'ms'] as const;

/** Settings that can change while the simulator runs. */
export interface VendorSettings {
  /** Time between the arrival of a login and its answer, in ms. */
  readonly latencyMs: number;
  /** Tokens expire to the ms. `expireTime` gives the time in its unit, rounded down. */
  readonly tokenLifetimeSeconds: number;
  readonly mode: Mode;
  /** Logins above this limit are refused with 10015. 0: no limit. */
  readonly maxLoginsPerSecond: number;
  readonly expireTimeUnit: (typeof EXPIRE_TIME_UNITS)[number];
  /** How far the vendor's clock, and its `Date` header, is ahead, in ms. */
  readonly clockOffsetMs: number;
  /** Applies to logins that would otherwise succeed. */
  readonly fault: Fault;
  /**
   * Number of logins that the fault still applies to. `null`: all logins. Setting `fault` alone sets this to `null`.
   */
  readonly faultCount: number | null;
}

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

/** Ten years. A Date header can show any clock within this offset. */
const MAX_CLOCK_OFFSET_MS = 10 * 365 * 86_400_000;

/** The allowed values of a setting or a flag. */
export interface Rule<Value> {
  readonly allowed: string;
  readonly permits: (value: unknown) => value is Value;
}

export const RULES: { readonly [Name in keyof VendorSettings]: Rule<VendorSettings[Name]> } = {
  latencyMs: wholeNumber(0, 600_000),
  tokenLifetimeSeconds: wholeNumber(1, 999_999_999),
  mode: oneOf(MODES),
  maxLoginsPerSecond: wholeNumber(0, 1_000_000),
  expireTimeUnit: oneOf(EXPIRE_TIME_UNITS),
  clockOffsetMs: wholeNumber(-MAX_CLOCK_OFFSET_MS, MAX_CLOCK_OFFSET_MS),
  fault: oneOf(FAULTS),
  faultCount: {
    allowed: 'a whole number from 1, or null',
    permits: (value): value is number | null => value === null || (Number.isSafeInteger(value) && Number(value) >= 1),
  },
};

/** @throws BadRequest that names every wrong setting, and the values that are allowed */
export function changeSettings(change: unknown, current: VendorSettings = defaultSettings): VendorSettings {
  if (typeof change !== 'object' || change === null || Array.isArray(change)) {
    throw new BadRequest('settings must be an object');
  }
  const problems = Object.entries(change).flatMap(([name, value]) => problemOf(name, value) ?? []);
  if (problems.length > 0) throw new BadRequest(problems.join('; '));
  return { ...current, ...('fault' in change && { faultCount: null }), ...change };
}

/** The settings after the fault was applied to one more login. */
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

export function wholeNumber(lowest: number, highest: number): Rule<number> {
  return {
    allowed: `a whole number from ${lowest} to ${highest}`,
    permits: (value): value is number => Number.isInteger(value) && Number(value) >= lowest && Number(value) <= highest,
  };
}

function oneOf<Value extends string>(values: readonly Value[]): Rule<Value> {
  return {
    allowed: `one of ${values.join(', ')}`,
    permits: (value): value is Value => values.some((one) => one === value),
  };
}
