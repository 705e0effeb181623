// The simplest implementation: check the session, GET, log in on a miss, SET. No coordination between requests.
import { Redis } from 'ioredis';
import type { PeerToken } from './peer.ts';
import { runPeer } from './run-peer.ts';

await runPeer(({ redisUrl, login, verify }) => {
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
    async close() {
      await redis.quit();
    },
  };
});
