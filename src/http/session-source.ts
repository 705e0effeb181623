import type { IncomingHttpHeaders } from 'node:http';
import { BrokerError } from '../token/errors.ts';
import { bearerToken } from './bearer.ts';

/**
 * Finds the session in a request's headers, as the verifier takes it.
 * @throws BrokerError `session_missing`, `session_invalid`
 */
export type SessionSource = (headers: IncomingHttpHeaders) => string;

/**
 * Where sessions are found. Without `forwarded` it is the bearer token. With it the session is whatever the app sent in
 * these headers: a JSON object of those that are there, by lower-case name, in this order.
 */
export function sessionSource(forwarded: readonly string[] | undefined): SessionSource {
  if (forwarded === undefined) return ({ authorization }) => bearerToken(authorization);
  const names = forwarded.map((name) => name.toLowerCase());
  const detail = `Send the session in one of these headers: ${names.join(', ')}`;
  return (headers) => {
    const sent: Record<string, string> = {};
    let empty = true;
    for (const name of names) {
      const value = headers[name];
      if (typeof value !== 'string' || value === '') continue;
      sent[name] = value;
      empty = false;
    }
    if (empty) throw new BrokerError('session_missing', { detail });
    return JSON.stringify(sent);
  };
}
