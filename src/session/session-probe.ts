import { randomUUID } from 'node:crypto';
import { compactVerify, createLocalJWKSet, errors, type JSONWebKeySet, type JWK } from 'jose';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import { IntrospectionVerifier, type IntrospectionVerifierOptions } from './introspection-verifier.ts';
import { fetchJwks } from './jwt-verifier.ts';
import { boundedFetch } from './session-server.ts';

const MAX_BYTES = 65_536;

export interface JwksProbe {
  /** How many keys are published. */
  readonly keys: number;
  /** The algorithms for which at least one of them can be used. */
  readonly algorithms: readonly string[];
}

/**
 * Fetches the keys published at `url` and tries each with every algorithm.
 * @throws UnexpectedStatus, TypeError where it is no JWK Set, Error when it cannot be had
 */
export async function probeJwks(url: URL, algorithms: readonly string[]): Promise<JwksProbe> {
  const answer = await fetchJwks(url, { headers: { accept: 'application/json' } });
  const { keys } = await readJwks(answer);
  const usable = await Promise.all(
    algorithms.map(async (algorithm) => {
      const fitting = await Promise.all(keys.map((key) => verifies(key, algorithm)));
      return fitting.includes(true) ? [algorithm] : [];
    }),
  );
  return { keys: keys.length, algorithms: usable.flat() };
}

async function readJwks(answer: Response): Promise<JSONWebKeySet> {
  const jwks: unknown = await answer.json().catch(() => undefined);
  if (typeof jwks === 'object' && jwks !== null && 'keys' in jwks && Array.isArray(jwks.keys)) {
    return jwks as JSONWebKeySet;
  }
  throw new TypeError('The answer is no JWK Set');
}

/** Whether the key gets so far with a made-up token that it finds its signature wrong. */
async function verifies(key: JWK, algorithm: string): Promise<boolean> {
  const header = { alg: algorithm, ...(key?.kid !== undefined && { kid: key.kid }) };
  const [encoded, signature] = [JSON.stringify(header), 'made up'].map((part) =>
    Buffer.from(part).toString('base64url'),
  );
  try {
    await compactVerify(`${encoded}.e30.${signature}`, createLocalJWKSet({ keys: [key] }));
    return true;
  } catch (error) {
    return error instanceof errors.JWSSignatureVerificationFailed;
  }
}

/**
 * Asks the introspection endpoint about a token nobody has issued.
 * @returns whether it calls that active, which it must not
 * @throws UnexpectedStatus, Error when it cannot be asked or its answer is none
 */
export async function probeIntrospection(
  options: Omit<IntrospectionVerifierOptions, 'clock'>,
  clock: Clock,
): Promise<boolean> {
  try {
    const answer = await new IntrospectionVerifier({ ...options, clock }).introspect(`made-up-${randomUUID()}`);
    return answer.active;
  } catch (error) {
    throw error instanceof BrokerError ? error.cause : error;
  }
}

/**
 * Asks the session server whose session no headers at all hold.
 * @returns its HTTP status
 * @throws Error when it cannot be asked
 */
export async function probeForward(url: URL): Promise<number> {
  return (await boundedFetch(url, { headers: { accept: 'application/json' } }, MAX_BYTES)).status;
}
