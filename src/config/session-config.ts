import type { SessionOptions } from '../session/session-verifier.ts';
import { type JwtKey, verificationKey } from '../session/verification-key.ts';
import { ExplainedError, untranslated } from '../token/text.ts';
import { type Problems, required } from './environment.ts';
import { PROBLEMS } from './problems.ts';
import type { Values } from './variables.ts';

/** @returns `undefined` if a setting that the mode requires is missing or not valid; `problems` then names it */
export function readSessionConfig(values: Values, problems: Problems): SessionOptions | undefined {
  // Without a valid mode it is unknown which settings are required.
  if (problems.has('SESSION_MODE')) return undefined;
  const common = {
    claims: {
      unionId: values.SESSION_CLAIM_UNION_ID,
      region: values.SESSION_CLAIM_REGION,
      app: values.SESSION_CLAIM_APP,
      issuedAt: values.SESSION_CLAIM_ISSUED_AT,
      expiresAt: values.SESSION_CLAIM_EXPIRES_AT,
      timeUnit: values.SESSION_CLAIM_TIME_UNIT,
    },
    cacheSeconds: values.SESSION_CACHE_SECONDS,
  };
  switch (values.SESSION_MODE) {
    case 'jwt': {
      const settings = required(values, ['SESSION_JWT_ISSUER', 'SESSION_JWT_AUDIENCE'], problems);
      const key = readJwtKey(values, problems);
      if (!settings || !key) return undefined;
      const { SESSION_JWT_ISSUER: issuer, SESSION_JWT_AUDIENCE: audience } = settings;
      const algorithms = values.SESSION_JWT_ALGORITHMS;
      return { mode: 'jwt', key, issuer: unlessAny(issuer), audience: unlessAny(audience), algorithms, ...common };
    }
    case 'introspection': {
      const settings = required(
        values,
        ['SESSION_INTROSPECTION_URL', 'SESSION_INTROSPECTION_CLIENT_ID', 'SESSION_INTROSPECTION_CLIENT_SECRET'],
        problems,
      );
      if (!settings) return undefined;
      return {
        mode: 'introspection',
        url: settings.SESSION_INTROSPECTION_URL,
        clientId: settings.SESSION_INTROSPECTION_CLIENT_ID,
        clientSecret: settings.SESSION_INTROSPECTION_CLIENT_SECRET,
        audience: values.SESSION_INTROSPECTION_AUDIENCE,
        scopes: values.SESSION_INTROSPECTION_SCOPE,
        ...common,
      };
    }
    case 'forward': {
      const settings = required(values, ['SESSION_FORWARD_URL'], problems);
      const { SESSION_FORWARD_HEADERS: headers, SESSION_FORWARD_COOKIES: cookies } = values;
      if (cookies !== 'all' && !headers.includes('cookie')) {
        const name = 'SESSION_FORWARD_COOKIES';
        problems.set(name, PROBLEMS.noCookieHeader(name));
      }
      const { SESSION_FORWARD_ACCEPTED: accepted, SESSION_FORWARD_REFUSED: refused } = values;
      const both = accepted?.path === refused?.path && accepted?.values.find((one) => refused?.values.includes(one));
      if (both) {
        const name = 'SESSION_FORWARD_REFUSED';
        problems.set(name, PROBLEMS.acceptedAndRefused(name, both));
      }
      return settings && { mode: 'forward', url: settings.SESSION_FORWARD_URL, accepted, refused, ...common };
    }
  }
}

/** @returns `undefined` for `any`: the claim is not looked at */
function unlessAny(value: string): string | undefined {
  return value === 'any' ? undefined : value;
}

const KEY_SETTINGS = ['SESSION_JWT_JWKS_URL', 'SESSION_JWT_PUBLIC_KEY', 'SESSION_JWT_SECRET'] as const;

function readJwtKey(values: Values, problems: Problems): JwtKey | undefined {
  const [name, ...others] = KEY_SETTINGS.filter((name) => values[name] !== undefined || problems.has(name));
  const all = KEY_SETTINGS.join(', ');
  if (!name) problems.set(all, PROBLEMS.noKey(all));
  if (others.length > 0) problems.set(all, PROBLEMS.severalKeys(all));
  const key = keyFrom(values);
  if (!name || !key || others.length > 0) return undefined;
  try {
    checkAlgorithms(values.SESSION_JWT_ALGORITHMS, verificationKey(key).algorithms, problems);
  } catch (error) {
    problems.set(
      name,
      PROBLEMS.unusable(name, error instanceof ExplainedError ? error.reason : untranslated(String(error))),
    );
  }
  return key;
}

function keyFrom(values: Values): JwtKey | undefined {
  const { SESSION_JWT_JWKS_URL: jwksUrl, SESSION_JWT_PUBLIC_KEY: publicKeyPem, SESSION_JWT_SECRET: secret } = values;
  if (jwksUrl) return { jwksUrl };
  if (publicKeyPem) return { publicKeyPem };
  return secret === undefined ? undefined : { secret };
}

function checkAlgorithms(chosen: readonly string[] = [], allowed: readonly string[], problems: Problems): void {
  const wrong = chosen.filter((algorithm) => !allowed.includes(algorithm));
  if (wrong.length === 0) return;
  const name = 'SESSION_JWT_ALGORITHMS';
  problems.set(name, PROBLEMS.unfitAlgorithms(name, allowed.join(', '), wrong.join(', ')));
}
