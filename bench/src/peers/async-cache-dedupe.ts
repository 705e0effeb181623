// async-cache-dedupe with its Redis storage: callers in one process share a look-up; sessions are remembered.
import { createCache } from 'async-cache-dedupe';
import { Redis } from 'ioredis';
import type { Asked } from './peer.ts';
import { runPeer } from './run-peer.ts';
import { rememberedSessions } from './verified-sessions.ts';

await runPeer(({ redisUrl, login, verify }) => {
  const client = new Redis(redisUrl);
  const cache = createCache({ storage: { type: 'redis', options: { client } } }).define(
    'token',
    {
      ttl: ({ expiresAt }) => Math.max(0, Math.floor((expiresAt - Date.now()) / 1_000)),
      serialize: ({ unionId, uniqueId }: Asked) => `${unionId}:${uniqueId}`,
    },
    (asked: Asked) => login(asked),
  );
  return {
    verify: rememberedSessions(verify),
    read: (asked) => cache.token(asked),
    async close() {
      await client.quit();
    },
  };
});
