// What one Redis and one replica hold: fills a Redis of its own with TOKENS tokens, and measures.
import { cpus } from 'node:os';
import { startBroker } from '../test/support/broker-process.ts';
import { keyRing, newKey, openRedisStore } from '../test/support/filled-store.ts';
import { writeMarkedSection } from './marked-section.ts';
import { Figures } from './scale/figures.ts';
import { load } from './scale/load.ts';
import { startMeasuredRedis } from './scale/measured-redis.ts';
import { measureMemory } from './scale/memory.ts';
import { measureReads } from './scale/reads.ts';
import { claimTheRest, measureClaims, measureRenewals } from './scale/renewals.ts';
import { measureIdle, measureStart } from './scale/replica.ts';

const DEFAULT_TOKENS = 1_000_000;
const SUBJECTS_READ = 20_000;
const KEY_PREFIX = 'sdkt';

const tokens = Number(process.env['TOKENS'] ?? DEFAULT_TOKENS);
// What was started ends with this process, however it ends: test/support/child-process.ts.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

const figures = new Figures();
const redis = await startMeasuredRedis();
const [, version = ''] = /redis_version:(\S+)/.exec(await redis.client.info('server')) ?? [];
const [processor] = cpus();
figures.note(
  'machine',
  `${cpus().length} × ${processor?.model.trim()}, Node.js ${process.versions.node}, Redis ${version}`,
);

const key = newKey('k1');
const issuer = { secret: 'a-secret-of-thirty-two-bytes-or-more', issuer: 'issuer', audience: 'audience' };
const env = {
  REDIS_URL: redis.url,
  REDIS_KEY_PREFIX: KEY_PREFIX,
  TOKEN_ENCRYPTION_KEYS: keyRing(key),
  // Nobody listens there: no token that is read or idle is renewed.
  VENDOR_BASE_URL: 'http://127.0.0.1:9',
  VENDOR_APP_ID: 'app',
  VENDOR_APP_TOKEN: 'token',
  VENDOR_APP_KEY: 'key',
  SESSION_JWT_SECRET: issuer.secret,
  SESSION_JWT_ISSUER: issuer.issuer,
  SESSION_JWT_AUDIENCE: issuer.audience,
  // Counts every read, and is never reached.
  RATE_LIMIT_PER_MINUTE: '1000000',
};
await measureStart(env, 'empty', figures);

const store = await openRedisStore(redis.url, KEY_PREFIX, [key]);
const emptyBytes = await redis.info('used_memory');
const subjects = await load(store, tokens, SUBJECTS_READ, figures);
await measureMemory(redis, KEY_PREFIX, tokens, emptyBytes, figures);
await measureClaims(store, figures);
await measureRenewals(store, redis, tokens / 2, figures);
await claimTheRest(store);
await store.close();

await measureStart(env, 'full', figures);
const replica = await startBroker(env);
await measureIdle(replica, redis, figures);
await measureReads(replica, redis, issuer, subjects, figures);
await replica.stop();
await redis.close();

if (tokens === DEFAULT_TOKENS) {
  writeMarkedSection(new URL('../docs/scaling.md', import.meta.url), 'scale', figures.table());
}
process.exit(0);
