import { type JwtKey, verificationKey } from '../session/jwt-key.ts';
import { systemClock } from '../token/clock.ts';
import type { Problems } from './environment.ts';
import type { Values } from './variables.ts';

const NAMES = ['SESSION_JWT_JWKS_URL', 'SESSION_JWT_PUBLIC_KEY', 'SESSION_JWT_SECRET'] as const;

/** What sessions are checked with; `undefined` where `problems` says what is wrong with it. */
export function sessionKeyOf(values: Values, problems: Problems): JwtKey | undefined {
  const [name, ...others] = NAMES.filter((name) => values[name] !== undefined || problems.has(name));
  const all = NAMES.join(', ');
  if (!name) problems.set(all, `${all}: one of them is required, to check sessions with`);
  if (others.length > 0) problems.set(all, `${all}: only one of them may be set, or a forged session might pass`);
  const key = keyFrom(values);
  if (!name || !key || others.length > 0) return undefined;
  try {
    checkAlgorithms(values.SESSION_JWT_ALGORITHMS, verificationKey(key, systemClock).algorithms, problems);
  } catch (error) {
    problems.set(name, `${name}: ${error instanceof Error ? error.message : error}`);
  }
  return key;
}

function keyFrom(values: Values): JwtKey | undefined {
  const { SESSION_JWT_JWKS_URL: jwksUrl, SESSION_JWT_PUBLIC_KEY: publicKeyPem, SESSION_JWT_SECRET: secret } = values;
  if (jwksUrl) return { jwksUrl };
  if (publicKeyPem) return { publicKeyPem };
  return secret === undefined ? undefined : { secret };
}

function checkAlgorithms(chosen: readonly string[] = [], fitting: readonly string[], problems: Problems): void {
  const wrong = chosen.filter((algorithm) => !fitting.includes(algorithm));
  if (wrong.length === 0) return;
  const name = 'SESSION_JWT_ALGORITHMS';
  problems.set(name, `${name} must be among those that fit the key (${fitting.join(', ')}), not ${wrong.join(', ')}`);
}
