// What one writes first: check the session, GET, log in on a miss, SET. Nothing is coordinated.
import { Redis } from 'ioredis';
import type { PeerToken } from './peer.ts';
import { runPeer } from './run-peer.ts';

await runPeer(({ redisUrl, login, verify }) => {
  const redis = new Redis(redisUrl);
  return {
    verify,
    async read(asked) {
      const key = `naive:${asked.unionId}:${asked.uniqueId}`;
      const found = await redis.get(key);
      if (found !== null) return JSON.parse(found) as PeerToken;
      const token = await login(asked);
      await redis.set(key, JSON.stringify(token), 'PXAT', token.expiresAt);
      return token;
    },
    async close() {
      await redis.quit();
    },
  };
});
