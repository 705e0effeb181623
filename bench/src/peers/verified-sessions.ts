import { importSPKI, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import type { Bearer, VerifySession } from './peer.ts';

export interface SessionRules {
  /** SPKI in PEM. */
  readonly publicKey: string;
  readonly issuer: string;
  readonly audience: string;
}

/** As many as the broker remembers. */
const REMEMBERED = 10_000;
const LONGEST_MS = 30_000;

/** Checks signature and claims of ES256 sessions. */
export async function sessionVerifier({ publicKey, issuer, audience }: SessionRules): Promise<VerifySession> {
  const key = await importSPKI(publicKey, 'ES256');
  return async (session) => {
    const { payload } = await jwtVerify(session, key, { issuer, audience, algorithms: ['ES256'] });
    const { sub, region } = payload;
    if (typeof sub !== 'string' || typeof region !== 'string') throw new Error('the session lacks a claim');
    return { unionId: sub, region };
  };
}

/** Remembers accepted sessions, as the broker does. */
export function rememberedSessions(verify: VerifySession): VerifySession {
  const accepted = new LRUCache<string, Promise<Bearer>>({ max: REMEMBERED, ttl: LONGEST_MS });
  return (session) => {
    const known = accepted.get(session);
    if (known) return known;
    const bearer = verify(session);
    accepted.set(session, bearer);
    bearer.catch(() => accepted.delete(session));
    return bearer;
  };
}
