import { randomUUID } from 'node:crypto';
import { compactVerify, createLocalJWKSet, errors, type JWK } from 'jose';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import { IntrospectionVerifier, type IntrospectionVerifierOptions } from './introspection-verifier.ts';
import { fetchJwks } from './jwt-verifier.ts';
import { boundedFetch } from './session-server.ts';

const ACCEPT_JSON = { headers: { accept: 'application/json' } };

export interface JwksProbe {
  /** The number of published keys. */
  readonly keys: number;
  /** The algorithms that at least one of the keys supports. */
  readonly algorithms: readonly string[];
}

/**
 * Fetches the keys published at `url` and tries each key with each algorithm.
 * @throws UnexpectedStatus; TypeError if the answer is not a JWK Set; Error if the keys cannot be fetched
 */
export async function probeJwks(url: URL, algorithms: readonly string[], clock: Clock): Promise<JwksProbe> {
  const { keys } = await fetchJwks(url, clock);
  const usable = await Promise.all(
    algorithms.map(async (algorithm) => {
      const results = await Promise.all(keys.map((key) => supports(key, algorithm)));
      return results.includes(true) ? [algorithm] : [];
    }),
  );
  return { keys: keys.length, algorithms: usable.flat() };
}

/** Verifies a token without a signature: a key that supports the algorithm gets as far as the wrong signature. */
async function supports(key: JWK, algorithm: string): Promise<boolean> {
  const header = Buffer.from(JSON.stringify({ alg: algorithm })).toString('base64url');
  const verify = async () => compactVerify(`${header}.e30.`, createLocalJWKSet({ keys: [key] }));
  const failure = await verify().catch((error: unknown) => error);
  return failure instanceof errors.JWSSignatureVerificationFailed;
}

/**
 * Asks the introspection endpoint about a token that was never issued.
 * @returns whether the endpoint calls the token active, which would be wrong
 * @throws UnexpectedStatus; Error if the endpoint cannot be reached or its answer is not valid
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
 * Sends the session server a request without any session.
 * @returns the HTTP status of its answer
 * @throws Error if the server cannot be reached
 */
export async function probeForward(url: URL, clock: Clock): Promise<number> {
  return (await boundedFetch(url, ACCEPT_JSON, clock)).status;
}
