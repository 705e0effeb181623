import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose';
import { JWKSNoMatchingKey } from 'jose/errors';
import { createLocalJWKSet } from 'jose/jwks/local';
import type { Clock } from '../token/clock.ts';
import { raceTimeout } from '../token/time-budget.ts';
import { boundedFetch, UnexpectedStatus } from './session-server.ts';

const MAX_BYTES = 1_048_576;
/**
 * The keys are fetched at most once in this time, whether the fetch succeeds or fails. So a new key may be refused for
 * as long.
 */
const COOLDOWN_MS = 5_000;
/** The same without usable keys, because no session is accepted until a fetch succeeds. */
const COOLDOWN_WITHOUT_KEYS_MS = 2_000;
/** How long a withdrawn key may still be accepted. */
const MAX_AGE_MS = 600_000;
/** The same while the JWKS URL cannot be reached. */
const MAX_AGE_UNREACHABLE_MS = 3_600_000;
/** How long a session with a known key waits for newer keys after a fetch has failed. */
const WAIT_AFTER_FAILURE_MS = 100;

const ACCEPT_JSON = { headers: { accept: 'application/json, application/jwk-set+json' } };

/**
 * Fetches the keys published at `url` (RFC 7517 §5). Redirects are not followed.
 * @throws UnexpectedStatus; TypeError if the answer is not a JWK Set; Error if the keys cannot be fetched
 */
export async function fetchJwks(url: URL, clock: Clock): Promise<JSONWebKeySet> {
  const answer = await boundedFetch(url, ACCEPT_JSON, clock, MAX_BYTES);
  if (answer.status !== 200) throw new UnexpectedStatus('The JWKS URL', answer.status);
  const jwks: unknown = await answer.json().catch(() => undefined);
  if (typeof jwks === 'object' && jwks !== null && 'keys' in jwks && Array.isArray(jwks.keys)) {
    return jwks as JSONWebKeySet;
  }
  throw new TypeError('The answer is not a JWK Set');
}

/**
 * The keys published at a URL, fetched when first needed. jose's own remote key set counts its cool-down from the last
 * successful fetch: while the URL fails, each session with an unknown key causes a fetch.
 */
export class PublishedKeys {
  readonly #url: URL;
  readonly #clock: Clock;
  #keys: JWTVerifyGetKey | undefined;
  /** When the keys arrived: epoch ms. */
  #fetchedAt = Number.NEGATIVE_INFINITY;
  /** When the latest fetch started: epoch ms. */
  #attemptedAt = Number.NEGATIVE_INFINITY;
  /** Why the latest fetch failed; `undefined` if it succeeded. */
  #failure: Error | undefined;
  #fetching: Promise<void> | undefined;

  constructor(url: URL, clock: Clock) {
    this.#url = url;
    this.#clock = clock;
  }

  /**
   * Finds the key of a session. Callers at the same time share one fetch.
   * @throws JOSEError if no key matches; any other Error if the keys cannot be fetched or used
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (this.#ageMs() >= MAX_AGE_MS) await this.#replaceOutdated();
    const known = this.#usableKeys();
    try {
      return await known(header, token);
    } catch (error) {
      if (!(error instanceof JWKSNoMatchingKey)) throw error;
      await this.#fetchUnlessCoolingDown();
      // A failed fetch says nothing about an unknown key: it may be published by now.
      if (this.#failure) throw this.#failure;
      const fetched = this.#usableKeys();
      if (fetched === known) throw error;
      return fetched(header, token);
    }
  };

  async #replaceOutdated(): Promise<void> {
    const mayWaitLess = this.#hasUsableKeys() && this.#failure !== undefined;
    const fetched = this.#fetchUnlessCoolingDown();
    await (mayWaitLess ? raceTimeout(this.#clock, WAIT_AFTER_FAILURE_MS, fetched) : fetched);
  }

  #ageMs(): number {
    return this.#clock.now() - this.#fetchedAt;
  }

  #hasUsableKeys(): boolean {
    return this.#ageMs() < MAX_AGE_UNREACHABLE_MS;
  }

  #usableKeys(): JWTVerifyGetKey {
    if (this.#keys && this.#hasUsableKeys()) return this.#keys;
    throw this.#failure ?? new Error('The published keys are too old');
  }

  async #fetchUnlessCoolingDown(): Promise<void> {
    const now = this.#clock.now();
    const cooldownMs = this.#hasUsableKeys() ? COOLDOWN_MS : COOLDOWN_WITHOUT_KEYS_MS;
    if (!this.#fetching && now >= this.#attemptedAt + cooldownMs) {
      this.#attemptedAt = now;
      this.#fetching = this.#fetch();
    }
    await this.#fetching;
  }

  async #fetch(): Promise<void> {
    try {
      this.#keys = createLocalJWKSet(await fetchJwks(this.#url, this.#clock));
      this.#fetchedAt = this.#clock.now();
      this.#failure = undefined;
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error('The published keys cannot be fetched');
    } finally {
      this.#fetching = undefined;
    }
  }
}
