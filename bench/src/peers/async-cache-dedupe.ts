// async-cache-dedupe with its Redis storage: callers in one process share a lookup. Accepted sessions are cached.
import { createCache } from 'async-cache-dedupe';
import { Redis } from 'ioredis';
import type { PeerSubject } from './peer.ts';
import { runPeer } from './run-peer.ts';
import { cachedVerifier } from './session-verifier.ts';

await runPeer(({ redisUrl, login, verify }) => {
  const client = new Redis(redisUrl);
  const cache = createCache({ storage: { type: 'redis', options: { client } } }).define(
    'token',
    {
      ttl: ({ expiresAt }) => Math.max(0, Math.floor((expiresAt - Date.now()) / 1_000)),
      serialize: ({ unionId, uniqueId }: PeerSubject) => `${unionId}:${uniqueId}`,
    },
    (subject: PeerSubject) => login(subject),
  );
  return {
    verify: cachedVerifier(verify),
    read: (subject) => cache.token(subject),
    async close() {
      await client.quit();
    },
  };
});
