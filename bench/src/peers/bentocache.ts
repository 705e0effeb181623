// bentocache: memory in front of Redis, and a bus between the processes. Accepted sessions are cached.
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { Redis } from 'ioredis';
import { runPeer } from './run-peer.ts';
import { cachedVerifier } from './session-verifier.ts';

/** About as many tokens as fit into the broker's 64 MB. */
const MAX_ITEMS = 59_000;

await runPeer(({ redisUrl, login, verify }) => {
  const connection = new Redis(redisUrl);
  const { hostname: host, port } = new URL(redisUrl);
  const tokens = bentostore()
    // `serialize: false` would be faster, but then 1.6.1 cannot read entries that came from Redis a second time.
    .useL1Layer(memoryDriver({ maxItems: MAX_ITEMS }))
    .useL2Layer(redisDriver({ connection }))
    .useBus(redisBusDriver({ connection: { host, port: Number(port) } }));
  const cache = new BentoCache({ default: 'tokens', stores: { tokens } });
  return {
    verify: cachedVerifier(verify),
    read: (subject) =>
      cache.getOrSet({
        key: `${subject.unionId}:${subject.uniqueId}`,
        ttl: '30d',
        factory: async ({ setOptions }) => {
          const token = await login(subject);
          setOptions({ ttl: token.expiresAt - Date.now() });
          return token;
        },
      }),
    close: () => cache.disconnectAll(),
  };
});
