import { createCache } from 'async-cache-dedupe';
import { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import type { Peer, PeerParts, PeerSubject, PeerToken, SessionAccount } from './peer.ts';

/** The simplest implementation: check the session, GET, log in on a miss, SET. No coordination between requests. */
export function naive({ redisUrl, login, verify }: PeerParts): Peer {
  const redis = new Redis(redisUrl);
  return {
    verify,
    async read(subject) {
      const key = `naive:${subject.unionId}:${subject.uniqueId}`;
      const found = await redis.get(key);
      if (found !== null) return JSON.parse(found) as PeerToken;
      const token = await login(subject);
      await redis.set(key, JSON.stringify(token), 'PXAT', token.expiresAt);
      return token;
    },
    close: () => redis.quit(),
  };
}

/** async-cache-dedupe with its Redis storage: callers in one process share a look-up. Accepted sessions are cached. */
export function asyncCacheDedupe({ redisUrl, login, verify }: PeerParts): Peer {
  const client = new Redis(redisUrl);
  const cache = createCache({ storage: { type: 'redis', options: { client } } }).define(
    'token',
    {
      ttl: ({ expiresAt }) => Math.max(0, Math.floor((expiresAt - Date.now()) / 1_000)),
      serialize: ({ unionId, uniqueId }: PeerSubject) => `${unionId}:${uniqueId}`,
    },
    (subject: PeerSubject) => login(subject),
  );
  // The bounds of the broker's cache of sessions.
  const sessions = new LRUCache<string, Promise<SessionAccount>>({ max: 10_000, ttl: 30_000 });
  return {
    verify(session) {
      const known = sessions.get(session);
      if (known) return known;
      const account = verify(session);
      sessions.set(session, account);
      account.catch(() => sessions.delete(session));
      return account;
    },
    read: (subject) => cache.token(subject),
    close: () => client.quit(),
  };
}
