import type { JSONWebKeySet, JWK, JWTVerifyGetKey } from 'jose';
import * as errors from 'jose/errors';
import { createLocalJWKSet } from 'jose/jwks/local';
import { withTimeout } from '../token/clock.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import { ExplainedError } from '../token/text.ts';
import { type KeySet, keysIn } from './known-headers.ts';
import {
  AnswerTooLarge,
  boundedFetch,
  noteContact,
  type SessionServerAccess,
  UnexpectedStatus,
} from './session-server.ts';

const MAX_JWKS_BYTES = 1_048_576;
/** jose looks at each key for a session with an unknown one. */
const MAX_PUBLISHED_KEYS = 100;
/** From one fetch to the next, whether the first succeeds or fails. So a new key may be refused for as long. */
const COOLDOWN_MS = 5_000;
/** The same without usable keys, because no session is accepted until a fetch succeeds. */
const COOLDOWN_WITHOUT_KEYS_MS = 2_000;
/** How long a withdrawn key may still be accepted. */
const MAX_AGE_MS = 600_000;
/** The same while the JWKS URL cannot be reached. */
const MAX_AGE_UNREACHABLE_MS = 3_600_000;
/** How long a session with a known key waits for newer keys after a fetch has failed. */
const WAIT_AFTER_FAILURE_MS = 100;

/** Sessions that wait for a fetch. A stranger can name unknown keys on each of its connections. */
const MAX_WAITING = 1_000;

const ACCEPT_JSON = { headers: { accept: 'application/json, application/jwk-set+json' } };

/**
 * Fetches the keys. An entry that is no JSON object is left out: one mistake does not disable the others (RFC 7517 §5).
 * @throws UnexpectedStatus; AnswerTooLarge with more than 1 MiB or 100 keys; ExplainedError if it is no JWK Set; Error
 * if the keys cannot be fetched
 */
export async function fetchJwks(url: URL, access: SessionServerAccess): Promise<JSONWebKeySet> {
  const answer = await boundedFetch(url, ACCEPT_JSON, access, MAX_JWKS_BYTES);
  if (answer.status !== 200) throw new UnexpectedStatus(answer.status, SESSION_REASONS.jwksStatus);
  const jwks: unknown = await answer.json().catch(() => undefined);
  if (typeof jwks === 'object' && jwks !== null && 'keys' in jwks && Array.isArray(jwks.keys)) {
    if (jwks.keys.length > MAX_PUBLISHED_KEYS) {
      throw new AnswerTooLarge(SESSION_REASONS.tooManyPublishedKeys(MAX_PUBLISHED_KEYS));
    }
    const keys = jwks.keys.filter((key): key is JWK => key instanceof Object && !Array.isArray(key));
    if (keys.length > 0 || jwks.keys.length === 0) return { keys };
  }
  throw new ExplainedError(SESSION_REASONS.noJwkSet);
}

/** Finds keys as jose does. If several keys have the `kid` of a session, the set is wrong, not the session. */
function finderIn(jwks: JSONWebKeySet): JWTVerifyGetKey {
  const find = createLocalJWKSet(jwks);
  return async (header, token) => {
    try {
      return await find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys) || header.kid === undefined) throw error;
      throw new ExplainedError(SESSION_REASONS.sameKid);
    }
  };
}

/** The session requires what jose does not support, or has no `kid` although several keys fit. */
function isFaultOfSession(error: unknown): boolean {
  return error instanceof errors.JOSENotSupported || error instanceof errors.JWKSMultipleMatchingKeys;
}

interface PublishedKeySet extends KeySet {
  readonly find: JWTVerifyGetKey;
}

/** Keys at a URL, fetched when first needed. While that fails, jose's own set would fetch for each unknown key. */
export function publishedKeys(url: URL, access: SessionServerAccess) {
  const { clock } = access;
  let keys: PublishedKeySet | undefined;
  /** When the keys arrived, by the monotonic clock. */
  let fetchedAt = Number.NEGATIVE_INFINITY;
  /** When the latest fetch started, by the monotonic clock. */
  let attemptedAt = Number.NEGATIVE_INFINITY;
  /** Why the latest fetch failed; `undefined` if it succeeded. */
  let failure: unknown;
  let fetching: Promise<void> | undefined;
  let waiting = 0;
  /** Callers share one fetch. @throws JOSEError if no key matches; another Error if keys cannot be fetched or used */
  const find: JWTVerifyGetKey = async (header, token) => {
    if (!areYoungerThan(MAX_AGE_MS)) await replaceOutdated();
    const known = usableKeys();
    try {
      return await known.find(header, token);
    } catch (error) {
      if (isFaultOfSession(error)) throw error;
      await fetchUnlessCoolingDown();
      // A failed fetch says nothing about an unknown key: it may be published by now.
      if (failure) throw failure;
      return usableKeys().find(header, token);
    }
  };
  return {
    find,
    /** The keys that `find` looks in now, unless it fetches newer ones first. */
    current: (): KeySet | undefined => (areYoungerThan(MAX_AGE_MS) ? keys : undefined),
  };

  async function replaceOutdated(): Promise<void> {
    if (waiting >= MAX_WAITING && hasUsableKeys()) return;
    const mayWaitLess = hasUsableKeys() && failure !== undefined;
    const fetched = fetchUnlessCoolingDown();
    await (mayWaitLess ? withTimeout(clock, WAIT_AFTER_FAILURE_MS, fetched) : fetched);
  }

  function areYoungerThan(ms: number): boolean {
    return clock.monotonic() - fetchedAt < ms;
  }

  function hasUsableKeys(): boolean {
    return areYoungerThan(MAX_AGE_UNREACHABLE_MS);
  }

  function usableKeys(): PublishedKeySet {
    if (keys && hasUsableKeys()) return keys;
    // There are usable keys, or the latest fetch has failed.
    throw failure;
  }

  async function fetchUnlessCoolingDown(): Promise<void> {
    const now = clock.monotonic();
    const cooldownMs = hasUsableKeys() ? COOLDOWN_MS : COOLDOWN_WITHOUT_KEYS_MS;
    if (!fetching && now - attemptedAt >= cooldownMs) {
      attemptedAt = now;
      fetching = fetchAndKeep();
    }
    if (!fetching) return;
    if (waiting >= MAX_WAITING) throw new Error('Too many sessions wait for the keys');
    waiting += 1;
    await fetching;
    waiting -= 1;
  }

  /** A set without keys withdraws the old ones, but says nothing about a session: it may be a fault of the server. */
  async function fetchedKeys(): Promise<JSONWebKeySet> {
    const fetched = await fetchJwks(url, access);
    if (fetched.keys.length > 0) return fetched;
    fetchedAt = Number.NEGATIVE_INFINITY;
    throw new ExplainedError(SESSION_REASONS.noPublishedKeys);
  }

  async function fetchAndKeep(): Promise<void> {
    try {
      const fetched = await noteContact(access, fetchedKeys);
      keys = { find: finderIn(fetched), keysFor: keysIn(fetched) };
      fetchedAt = clock.monotonic();
      failure = undefined;
    } catch (error) {
      failure = error;
    } finally {
      fetching = undefined;
    }
  }
}
