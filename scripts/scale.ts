// Measures the capacity of one Redis and one replica: fills a new Redis with TOKENS tokens. Of more than a million, the
// rest are copies of the first million.
import { cpus } from 'node:os';
import { startBroker } from '../test/support/broker-process.ts';
import { keyRing, newKey, openRedisStore } from '../test/support/filled-store.ts';
import { writeMarkedSection } from './markdown.ts';
import { Figures, formatCount } from './scale/figures.ts';
import { startMeasuredRedis } from './scale/measured-redis.ts';
import { measureReads } from './scale/reads.ts';
import { claimTheRest, measureClaims, measureRenewals } from './scale/renewals.ts';
import { measureIdle, measureStart } from './scale/replica.ts';
import { measureStatus } from './scale/status.ts';
import { copyTokens, fillRedis, measureMemory } from './scale/stored-tokens.ts';

const DEFAULT_TOKENS = 1_000_000;
/** The sizes whose figures are written into docs/scaling.md, with the names of their sections. */
const SECTIONS = new Map([
  [DEFAULT_TOKENS, 'scale'],
  [10 * DEFAULT_TOKENS, 'scale of ten million'],
]);
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
  ADMIN_TOKEN: 'an-admin-token-of-this-script',
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

const filling = await openRedisStore(redis.url, KEY_PREFIX, [key]);
const emptyBytes = await redis.info('used_memory');
const stored = Math.min(tokens, DEFAULT_TOKENS);
const subjects = await fillRedis(filling, stored, SUBJECTS_READ, figures);
// The copying blocks Redis for seconds, so the store would lose its connection.
await filling.close();
if (tokens > stored) {
  await copyTokens(redis, KEY_PREFIX, tokens / stored - 1);
  figures.note('tokens in Redis, with copies', formatCount(tokens));
}
await measureMemory(redis, KEY_PREFIX, tokens, emptyBytes, figures);
const store = await openRedisStore(redis.url, KEY_PREFIX, [key]);
await measureClaims(store, figures);
await measureRenewals(store, redis, stored / 2, figures);
await claimTheRest(store);
await store.close();

await measureStart(env, 'full', figures);
const replica = await startBroker(env);
await measureIdle(replica, redis, figures);
await measureReads(replica, redis, issuer, subjects, figures);
await measureStatus(replica, redis, { issuer, subjects, adminToken: env.ADMIN_TOKEN }, figures);
await replica.stop();
await redis.close();

const section = SECTIONS.get(tokens);
if (section) writeMarkedSection(new URL('../docs/scaling.md', import.meta.url), section, figures.table());
process.exit(0);
