// bentocache with memory over Redis and a bus between the processes; sessions are remembered.
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { Redis } from 'ioredis';
import { runPeer } from './run-peer.ts';
import { rememberedSessions } from './verified-sessions.ts';

/** About as many as the broker's 64 MB hold. */
const MAX_ITEMS = 30_000;

await runPeer(({ redisUrl, login, verify }) => {
  const connection = new Redis(redisUrl);
  const { hostname: host, port } = new URL(redisUrl);
  const tokens = bentostore()
    // `serialize: false` would be faster, but an entry that came from Redis then cannot be read again (1.6.1).
    .useL1Layer(memoryDriver({ maxItems: MAX_ITEMS }))
    .useL2Layer(redisDriver({ connection }))
    .useBus(redisBusDriver({ connection: { host, port: Number(port) } }));
  const cache = new BentoCache({ default: 'tokens', stores: { tokens } });
  return {
    verify: rememberedSessions(verify),
    read: (asked) =>
      cache.getOrSet({
        key: `${asked.unionId}:${asked.uniqueId}`,
        ttl: '30d',
        factory: async ({ setOptions }) => {
          const token = await login(asked);
          setOptions({ ttl: token.expiresAt - Date.now() });
          return token;
        },
      }),
    close: () => cache.disconnectAll(),
  };
});
