// Measures the capacity of one Redis and one replica: fills a new Redis with TOKENS tokens.
import { cpus } from 'node:os';
import { startBroker } from '../test/support/broker-process.ts';
import { keyRing, newKey, openRedisStore } from '../test/support/filled-store.ts';
import { writeMarkedSection } from './markdown.ts';
import { Figures } from './scale/figures.ts';
import { startMeasuredRedis } from './scale/measured-redis.ts';
import { measureReads } from './scale/reads.ts';
import { claimTheRest, measureClaims, measureRenewals } from './scale/renewals.ts';
import { measureIdle, measureStart } from './scale/replica.ts';
import { fillRedis, measureMemory } from './scale/stored-tokens.ts';

const DEFAULT_TOKENS = 1_000_000;
const SUBJECTS_READ = 20_000;
const KEY_PREFIX = 'sdkt';

const tokens = Number(process.env['TOKENS'] ?? DEFAULT_TOKENS);
// The exit handler in test/support/child-process.ts ends the child processes.
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
  // A closed port: the tokens that this script reads are not due, so the replica does not need the vendor.
  VENDOR_BASE_URL: 'http://127.0.0.1:9',
  VENDOR_APP_ID: 'app',
  VENDOR_APP_TOKEN: 'token',
  VENDOR_APP_KEY: 'key',
  SESSION_JWT_SECRET: issuer.secret,
  SESSION_JWT_ISSUER: issuer.issuer,
  SESSION_JWT_AUDIENCE: issuer.audience,
  // The broker counts every read, but no read reaches this limit.
  RATE_LIMIT_PER_MINUTE: '1000000',
  LOGIN_LIMIT_PER_HOUR: '1000000',
};
await measureStart(env, 'empty', figures);

const store = await openRedisStore(redis.url, KEY_PREFIX, [key]);
const emptyBytes = await redis.info('used_memory');
const subjects = await fillRedis(store, tokens, SUBJECTS_READ, figures);
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
