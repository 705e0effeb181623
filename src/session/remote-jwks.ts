import type { ExportedJWKSCache, JWKSCacheInput, JWTVerifyGetKey } from 'jose';
import { createRemoteJWKSet, customFetch, jwksCache } from 'jose/jwks/remote';
import type { Clock } from '../token/clock.ts';
import { boundedFetch } from './bounded-fetch.ts';
import { UnexpectedStatus } from './unexpected-status.ts';

const MAX_BYTES = 1_048_576;
/**
 * A session naming an unknown key may cause no more than one fetch in this time, so a new key may be refused for as
 * long. Keys past their age are asked for as often, in vain.
 */
const COOLDOWN_MS = 5_000;
/** How long a key that was withdrawn may still be believed. */
const MAX_AGE_MS = 600_000;
/** The same while the keys cannot be fetched anew. */
const MAX_AGE_UNREACHABLE_MS = 3_600_000;

/** The keys published at `url` (RFC 7517 §5), fetched when first needed. Redirects are not followed. */
export function remoteJwks(url: URL, clock: Clock): JWTVerifyGetKey {
  const known: Partial<ExportedJWKSCache> = {};
  let askAgainAt = 0;
  const keys = createRemoteJWKSet(url, {
    cooldownDuration: COOLDOWN_MS,
    cacheMaxAge: MAX_AGE_UNREACHABLE_MS,
    [jwksCache]: known as JWKSCacheInput,
    [customFetch]: fetchJwks,
  });

  const renew = async (): Promise<void> => {
    const now = clock.now();
    if (known.uat === undefined || now < known.uat + MAX_AGE_MS) return;
    if (!keys.reloading && now < askAgainAt) return;
    askAgainAt = now + COOLDOWN_MS;
    await keys.reload().catch(() => undefined);
  };
  return async (header, token) => {
    await renew();
    return keys(header, token);
  };
}

/** @throws UnexpectedStatus, Error when it cannot be had */
export async function fetchJwks(url: string | URL, request: RequestInit): Promise<Response> {
  const answer = await boundedFetch(url, request, MAX_BYTES);
  if (answer.status !== 200) throw new UnexpectedStatus('The JWKS URL', answer.status);
  return answer;
}
