import type { SessionOptions } from '../session/session-verifier.ts';
import { type Problems, required } from './environment.ts';
import { sessionKeyOf } from './session-key.ts';
import type { Values } from './variables.ts';

/** How sessions are checked; `undefined` where `problems` says what is missing for the mode. */
export function sessionOf(values: Values, problems: Problems): SessionOptions | undefined {
  // What is required depends on it.
  if (problems.has('SESSION_MODE')) return undefined;
  const common = {
    claims: {
      unionId: values.SESSION_CLAIM_UNION_ID,
      region: values.SESSION_CLAIM_REGION,
      ...(values.SESSION_CLAIM_APP !== undefined && { app: values.SESSION_CLAIM_APP }),
    },
    cacheSeconds: values.SESSION_CACHE_SECONDS,
  };
  switch (values.SESSION_MODE) {
    case 'jwt': {
      const settings = required(values, ['SESSION_JWT_ISSUER', 'SESSION_JWT_AUDIENCE'], problems);
      const key = sessionKeyOf(values, problems);
      if (!settings || !key) return undefined;
      const { SESSION_JWT_ISSUER: issuer, SESSION_JWT_AUDIENCE: audience } = settings;
      return { mode: 'jwt', key, issuer, audience, algorithms: values.SESSION_JWT_ALGORITHMS, ...common };
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
        ...common,
      };
    }
    case 'forward': {
      const settings = required(values, ['SESSION_FORWARD_URL'], problems);
      return settings && { mode: 'forward', url: settings.SESSION_FORWARD_URL, ...common };
    }
  }
}
