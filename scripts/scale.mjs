// What one Redis and one replica hold: loads a Redis of its own with TOKENS tokens and measures. `npm run scale`.
import { spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { LoginLimits } from '../dist/broker/login-limits.js';
import { Renewal } from '../dist/broker/renewal.js';
import { TokenCache } from '../dist/broker/token-cache.js';
import { WriteBack } from '../dist/broker/write-back.js';
import { RefreshWorker } from '../dist/refresh/refresh-worker.js';
import { RedisTokenStore } from '../dist/store/redis/redis-token-store.js';
import { systemClock } from '../dist/token/clock.js';

const TOKENS = Number(process.env.TOKENS ?? 1_000_000);
const DUE = Math.min(100_000, TOKENS / 2);
const LIFE_MS = 30 * 86_400_000;
const AT_ONCE = 250;
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const figures = [];
const note = (what, figure) => {
  figures.push([what, figure]);
  process.stdout.write(`${what.padEnd(58)} ${figure}\n`);
};

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

const percentile = (values, share) => values.sort((a, b) => a - b)[Math.floor(values.length * share)];
const uuid = () => crypto.randomUUID();

function record(generation, accessId, unionId) {
  const issuedAt = systemClock.now();
  const fields = {
    accessId,
    accessToken: randomBytes(64).toString('hex'),
    expireTime: String(Math.floor((issuedAt + LIFE_MS) / 1000)),
    terminalId: `-${randomInt(2 ** 47)}${randomInt(10_000)}`,
    expand: '{"area":"de","regRegion":"DE"}',
    expend: '{"area":"de","regRegion":"DE"}',
  };
  const subject = { app: 'default', unionId, uniqueId: uuid() };
  const token = { fields, issuedAt, expiresAt: issuedAt + LIFE_MS };
  return { subject, region: 'DE', token, generation, read: true, unreadRenewals: 0 };
}

async function startReplica(url, keyPrefix, keys) {
  const port = await freePort();
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['dist/main.js', 'serve'], {
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: String(port),
      ADMIN_PORT: String(await freePort()),
      REDIS_URL: url,
      REDIS_KEY_PREFIX: keyPrefix,
      TOKEN_ENCRYPTION_KEYS: keys,
      VENDOR_BASE_URL: 'http://127.0.0.1:9',
      VENDOR_APP_ID: 'app',
      VENDOR_APP_TOKEN: 'token',
      VENDOR_APP_KEY: 'key',
      SESSION_JWT_SECRET: 'a-secret-of-thirty-two-bytes-or-more',
      SESSION_JWT_ISSUER: 'issuer',
      SESSION_JWT_AUDIENCE: 'audience',
    },
  });
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (answer?.status === 200) break;
    await sleep(10);
  }
  return { child, readyMs: performance.now() - startedAt };
}

const port = await freePort();
const server = spawn('redis-server', ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], {
  stdio: 'ignore',
});
process.on('exit', () => server.kill());
const url = `redis://127.0.0.1:${port}`;
const client = new Redis(url);
client.on('error', () => undefined);
await new Promise((resolve) => client.once('ready', resolve));
const info = async (section, name) => Number(new RegExp(`${name}:([0-9.]+)`).exec(await client.info(section))[1]);
const redisVersion = /redis_version:(\S+)/.exec(await client.info('server'))[1];
note('machine', `${cpus().length} × ${cpus()[0].model.trim()}, Node ${process.version}, Redis ${redisVersion}`);

const key = randomBytes(32);
const keyPrefix = 'sdkt';
const ring = `k1:${key.toString('base64')}`;
{
  const { child, readyMs } = await startReplica(url, keyPrefix, ring);
  note('start to ready, store empty', `${readyMs.toFixed(0)} ms`);
  child.kill();
  await once(child, 'exit');
}

const store = new RedisTokenStore({
  url,
  keyPrefix,
  encryptionKeys: [{ id: 'k1', key }],
  terminalsPerAccount: 20,
  clock: systemClock,
  log: silent,
});
while (
  !(await store.ping().then(
    () => true,
    () => false,
  ))
)
  await sleep(20);

const emptyBytes = await info('memory', 'used_memory');
const loadedFrom = performance.now();
for (let done = 0; done < TOKENS; done += AT_ONCE) {
  const some = Array.from({ length: Math.min(AT_ONCE, TOKENS - done) }, (_, index) => {
    const number = done + index;
    const unionId = uuid();
    const accessId = `-${randomInt(2 ** 47)}${randomInt(10_000)}`;
    const dueAt = number < DUE ? systemClock.now() : systemClock.now() + LIFE_MS * 0.8;
    return store.restore(record(systemClock.now(), accessId, unionId), dueAt);
  });
  await Promise.all(some);
  const share = (done + some.length) / TOKENS;
  if (process.stdout.isTTY)
    process.stdout.write(`\r${'█'.repeat(share * 40).padEnd(40, '░')} ${(share * 100).toFixed(1)} %\x1b[K`);
}
if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
const loadSeconds = (performance.now() - loadedFrom) / 1_000;
note(
  `load of ${TOKENS.toLocaleString('en')} tokens`,
  `${loadSeconds.toFixed(0)} s, ${Math.round(TOKENS / loadSeconds)} a second`,
);
const bytes = ((await info('memory', 'used_memory')) - emptyBytes) / TOKENS;
note('bytes of Redis per token, all in', bytes.toFixed(0));
const sampled = { a: [], i: [] };
for await (const keys of client.scanStream({ match: `${keyPrefix}:*`, count: 500 })) {
  for (const name of keys) {
    const kind = name.split(':')[2];
    if (sampled[kind]?.length < 500) sampled[kind].push(await client.memory('USAGE', name));
  }
  if (sampled.a.length >= 500 && sampled.i.length >= 500) break;
}
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
note('  of these: the account (record, index, country, accessId)', mean(sampled.a).toFixed(0));
note('  of these: the look-up by accessId', mean(sampled.i).toFixed(0));
let dueBytes = 0;
for (let shard = 0; shard < 16; shard += 1)
  dueBytes += await client.memory('USAGE', `${keyPrefix}:{${shard}}:due`, 'SAMPLES', '1000');
note('  of these: the schedule', (dueBytes / TOKENS).toFixed(0));

const latencies = [];
for (let round = 0; round < 1_000; round += 1) {
  const from = performance.now();
  await store.claimDue(32, 1);
  latencies.push(performance.now() - from);
}
note(
  'claim of up to 32 over 16 shards',
  `p50 ${percentile(latencies, 0.5).toFixed(2)} ms, p99 ${percentile(latencies, 0.99).toFixed(2)} ms`,
);

let renewals = 0;
const vendor = {
  async login() {
    renewals += 1;
    const { token } = record(0, '-9223371996052586423', '');
    return token;
  },
};
const policy = { mode: 'proactive', share: { from: 0.7, to: 0.9 }, unreadLimit: 1 };
const clock = { now: () => systemClock.now() + LIFE_MS * 0.905, random: () => systemClock.random() };
const cache = new TokenCache({ store, clock, maxBytes: 2 ** 20, freshUntil: () => 0 });
const limits = new LoginLimits({ rates: store, perMinute: 0, log: silent });
const writeBack = new WriteBack({ store, cache, policy, clock, log: silent });
const renewal = new Renewal({
  store,
  vendor,
  cache,
  limits,
  writeBack,
  policy,
  clock,
  log: silent,
  loginBudgetMs: 7_500,
});
const worker = new RefreshWorker({ store, renewal, policy, clock, log: silent });
const cpuFrom = process.cpuUsage();
const drainedFrom = performance.now();
worker.start();
await sleep(10_000);
const drained = renewals;
const drainSeconds = (performance.now() - drainedFrom) / 1_000;
const cpu = process.cpuUsage(cpuFrom);
await worker.stop();
note('renewals a second, one replica, vendor answering at once', `${Math.round(drained / drainSeconds)}`);
note('  CPU of the replica for each', `${((cpu.user + cpu.system) / drained / 1_000).toFixed(2)} ms`);

for (let shard = 0; shard < 16; shard += 1)
  await client.zremrangebyscore(`${keyPrefix}:{${shard}}:due`, '-inf', Date.now() + 3_600_000);
{
  const { child, readyMs } = await startReplica(url, keyPrefix, ring);
  note('start to ready, store full', `${readyMs.toFixed(0)} ms`);
  await sleep(3_000);
  const ticks = () => {
    const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(' ');
    return Number(stat[13]) + Number(stat[14]);
  };
  const [ticksFrom, commandsFrom] = [ticks(), await info('stats', 'total_commands_processed')];
  await sleep(20_000);
  note('idle replica, CPU', `${((ticks() - ticksFrom) / 20).toFixed(2)} %`);
  note(
    'idle replica, Redis commands a second',
    (((await info('stats', 'total_commands_processed')) - commandsFrom - 1) / 20).toFixed(1),
  );
  const memory = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1];
  note('idle replica, memory', `${(memory / 1_024).toFixed(0)} MB`);
  child.kill();
  await once(child, 'exit');
}
await store.close();
client.disconnect();
server.kill();
process.exit(0);
