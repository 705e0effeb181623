import { importSPKI, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import type { SessionAccount, VerifySession } from './peer.ts';

export interface SessionRules {
  /** SPKI in PEM. */
  readonly publicKey: string;
  readonly issuer: string;
  readonly audience: string;
  /** JWS algorithm of the sessions. */
  readonly algorithm: string;
}

/** The same cache bounds as in the broker. */
const MAX_SESSIONS = 10_000;
const MAX_AGE_MS = 30_000;

/** Checks signature and claims. */
export async function sessionVerifier({
  publicKey,
  issuer,
  audience,
  algorithm,
}: SessionRules): Promise<VerifySession> {
  const key = await importSPKI(publicKey, algorithm);
  return async (session) => {
    const { payload } = await jwtVerify(session, key, { issuer, audience, algorithms: [algorithm] });
    const { sub, region } = payload;
    if (typeof sub !== 'string' || typeof region !== 'string') throw new Error('the session lacks a claim');
    return { unionId: sub, region };
  };
}

/** Caches accepted sessions like the broker. */
export function cachedVerifier(verify: VerifySession): VerifySession {
  const accepted = new LRUCache<string, Promise<SessionAccount>>({ max: MAX_SESSIONS, ttl: MAX_AGE_MS });
  return (session) => {
    const known = accepted.get(session);
    if (known) return known;
    const account = verify(session);
    accepted.set(session, account);
    account.catch(() => accepted.delete(session));
    return account;
  };
}
