import { randomBytes } from 'node:crypto';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { SignJWT } from 'jose';
import { expect, inject, onTestFinished, test } from 'vitest';
import { DEMO_APP } from '../../src/simulator/vendor-simulator.ts';
import type { BrokerProcess } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { type PlainAnswer, plainRequest } from '../support/plain-request.ts';
import { sampled } from '../support/prometheus-text.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { startSentinel } from '../support/redis-sentinel.ts';
import { askRedis, startRedis } from '../support/redis-server.ts';

/** Settings whose values are in files, so that a replica can read them again. */
const IN_FILES = ['ADMIN_TOKENS', 'VENDOR_APPS', 'SESSION_JWT_SECRET', 'TOKEN_ENCRYPTION_KEYS', 'REDIS_URL'] as const;
type Secrets = Readonly<Record<(typeof IN_FILES)[number], string>>;

const hex = () => randomBytes(20).toString('hex');
const encryptionKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
/** The keys of the app that the vendor accepts. It tells them apart by the accessId. */
const APPS = ['one', 'two'].map((accessId) => ({ ...DEMO_APP, accessId, appKey: `canary-key-${accessId}` }));

function vendorApps(number: number, appKey = APPS[number % 2]?.appKey): string {
  return JSON.stringify({ default: { ...APPS[number % 2], appKey } });
}

/** Starts replicas that read their secrets from files. `write` replaces files, `reload` also sends SIGHUP and waits. */
async function startReplicas(replicas: number, overrides: Partial<Secrets> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'secrets-reload-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  let secrets: Secrets = {
    ADMIN_TOKENS: `ops:canary-${hex()}`,
    VENDOR_APPS: vendorApps(0),
    SESSION_JWT_SECRET: `canary-${hex()}`,
    TOKEN_ENCRYPTION_KEYS: encryptionKey('k0'),
    REDIS_URL: inject('redisUrl'),
    ...overrides,
  };
  const write = async (changes: Partial<Secrets>) => {
    secrets = { ...secrets, ...changes };
    for (const [name, value] of Object.entries(changes)) {
      await writeFile(join(folder, `${name}.new`), `${value}\n`);
      await rename(join(folder, `${name}.new`), join(folder, name));
    }
  };
  await write(secrets);
  const inline = [
    ...IN_FILES,
    'VENDOR_ACCESS_ID',
    'VENDOR_APP_ID',
    'VENDOR_APP_TOKEN',
    'VENDOR_APP_KEY',
    'SESSION_JWT_JWKS_URL',
  ];
  const fleet = await startFleet({
    replicas,
    vendor: { apps: APPS },
    env: {
      SESSION_CACHE_SECONDS: '600',
      ...Object.fromEntries(inline.map((name) => [name, ''])),
      ...Object.fromEntries(IN_FILES.map((name) => [`${name}_FILE`, join(folder, name)])),
    },
  });
  onTestFinished(() => fleet.close());
  const linesOf = (broker: BrokerProcess) => broker.log().filter((line) => line.includes('SIGHUP'));
  const reload = async (changes: Partial<Secrets>): Promise<{ changed?: string[]; problems?: string[] }[]> => {
    await write(changes);
    const before = fleet.brokers.map((broker) => linesOf(broker).length);
    for (const broker of fleet.brokers) broker.signal('SIGHUP');
    await eventually(() => fleet.brokers.every((broker, index) => linesOf(broker).length > (before[index] ?? 0)));
    return fleet.brokers.map((broker) => JSON.parse(linesOf(broker).at(-1) ?? ''));
  };
  const session = (unionId: string) => {
    const { issuer, audience } = fleet.cloud;
    const claims = {
      iss: issuer,
      aud: audience,
      sub: unionId,
      region: 'DE',
      exp: Math.floor(Date.now() / 1_000) + 600,
    };
    return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(secrets.SESSION_JWT_SECRET));
  };
  const ops = (broker: BrokerProcess, unionId: string, token = secrets.ADMIN_TOKENS.split(':')[1]) =>
    plainRequest(`${broker.adminUrl}/accounts/${unionId}`, { headers: { authorization: `Bearer ${token}` } });
  return { fleet, secrets: () => secrets, reload, session, ops };
}

test('SIGHUP replaces all secrets under load, with no failed request', async () => {
  const { fleet, secrets, reload, session, ops } = await startReplicas(2);
  const known = await session('known');
  for (const broker of fleet.brokers) expect((await broker.getToken(known, 'phone')).status).toBe(200);

  let isOver = false;
  let isChanging = false;
  const inFlight = { reads: 0, logins: 0, calls: 0 };
  const failed: string[] = [];
  const counts = { reads: 0, logins: 0, calls: 0 };
  const expectOk = async (what: keyof typeof counts, answer: Promise<PlainAnswer>) => {
    inFlight[what] += 1;
    const { status, body } = await answer;
    inFlight[what] -= 1;
    counts[what] += 1;
    if (status !== 200) failed.push(`${what}: ${status} ${body}`);
  };
  const act = async (number: number) => {
    for (let turn = 0; !isOver; turn += 1) {
      const broker = fleet.broker(turn);
      await expectOk('reads', broker.getToken(known, 'phone'));
      const newcomer = await session(`user-${number}-${turn}`);
      if (!isChanging) await expectOk('logins', broker.getToken(newcomer, 'phone'));
      if (!isChanging) await expectOk('calls', ops(broker, 'known'));
    }
  };
  const acting = [1, 2, 3].map(act);
  for (let round = 1; round <= 4; round += 1) {
    const [former] = secrets().TOKEN_ENCRYPTION_KEYS.split(',');
    const added = encryptionKey(`k${round}`);
    expect(await reload({ TOKEN_ENCRYPTION_KEYS: `${former},${added}`, VENDOR_APPS: vendorApps(round) })).toEqual(
      Array(2).fill(expect.objectContaining({ level: 'info', changed: ['vendor', 'redis'] })),
    );
    expect(await reload({ TOKEN_ENCRYPTION_KEYS: `${added},${former}` })).toHaveLength(2);
    // There is one HMAC secret and one token per caller. The callers pause until all replicas have the new ones. Sessions
    // that a replica has accepted before need no pause.
    isChanging = true;
    await eventually(() => inFlight.logins + inFlight.calls === 0);
    const both = { ADMIN_TOKENS: `ops:canary-${hex()}`, SESSION_JWT_SECRET: `canary-${hex()}` };
    expect((await reload(both)).map(({ changed }) => changed)).toEqual(Array(2).fill(['admin', 'session']));
    isChanging = false;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  isOver = true;
  await Promise.all(acting);
  expect(failed).toEqual([]);
  for (const count of Object.values(counts)) expect(count).toBeGreaterThan(10);
  expect(fleet.brokers.map((broker) => broker.log().filter((line) => line.includes('canary-')))).toEqual([[], []]);
});

test('after SIGHUP the new secrets are in use, and the old ones are not', async () => {
  const { fleet, secrets, reload, session, ops } = await startReplicas(1);
  const broker = fleet.broker(0);
  const [accepted, unused] = [await session('alice'), await session('bob')];
  // A session that comes for the second time is remembered.
  for (let read = 0; read < 2; read += 1) expect((await broker.getToken(accepted, 'phone')).status).toBe(200);
  const oldToken = secrets().ADMIN_TOKENS.split(':')[1];
  const ring = `${encryptionKey('new-key')},${secrets().TOKEN_ENCRYPTION_KEYS}`;
  await reload({
    ADMIN_TOKENS: `ops:canary-${hex()},cloud:canary-${hex()}`.replace(/,.*/, ''),
    SESSION_JWT_SECRET: `canary-${hex()}`,
    TOKEN_ENCRYPTION_KEYS: ring,
    VENDOR_APPS: vendorApps(0, 'canary-wrong-key'),
  });
  expect((await ops(broker, 'alice', oldToken)).status).toBe(401);
  expect((await ops(broker, 'alice')).status).toBe(200);
  expect((await broker.getToken(unused, 'phone')).status).toBe(401);
  expect((await broker.getToken(accepted, 'phone')).status).toBe(200);
  const carol = await session('carol');
  const refused = await broker.getToken(carol, 'phone');
  expect(JSON.parse(refused.body)).toMatchObject({ code: 'vendor_rejected', vendorCode: 10_007 });
  await reload({ VENDOR_APPS: vendorApps(1) });
  await eventually(async () => expect((await broker.getToken(carol, 'tablet')).status).toBe(200));
  expect(await sealedWith(fleet.keyPrefix, 'new-key')).toBeGreaterThan(0);
});

test('an invalid configuration changes no secret at all, and the log says why', async () => {
  const { fleet, secrets, reload, session, ops } = await startReplicas(1);
  const broker = fleet.broker(0);
  const valid = secrets();
  const token = valid.ADMIN_TOKENS.split(':')[1];
  const known = await session('alice');
  const REFUSED: readonly [Partial<Secrets>, RegExp][] = [
    [{ TOKEN_ENCRYPTION_KEYS: 'canary-broken' }, /^TOKEN_ENCRYPTION_KEYS must be /],
    [{ SESSION_JWT_SECRET: '' }, /^SESSION_JWT_SECRET_FILE names a file that is empty/],
    [{ VENDOR_APPS: JSON.stringify({ other: APPS[0] }) }, /^VENDOR_APPS: only a restart can add/],
    [{ REDIS_URL: 'redis://canary.example' }, /^REDIS_URL: only the user and the password can change/],
  ];
  for (const [broken, problem] of REFUSED) {
    const [line] = await reload({ ...valid, ADMIN_TOKENS: `ops:canary-${hex()}`, ...broken });
    expect(line).toMatchObject({ level: 'error', problems: [expect.stringMatching(problem)] });
    expect((await ops(broker, 'alice')).status).toBe(401);
    expect((await ops(broker, 'alice', token)).status).not.toBe(401);
    expect((await broker.getToken(known, 'phone')).status).toBe(200);
  }
  expect(await reload(valid)).toMatchObject([{ level: 'info', changed: [] }]);
  await reload({ ADMIN_TOKENS: `ops:canary-${hex()}` });
  const { body: metrics } = await plainRequest(`${broker.adminUrl}/metrics`);
  const reloads = (outcome: string) => sampled(metrics, 'sdk_token_broker_secret_reloads_total', { outcome });
  expect([reloads('changed'), reloads('unchanged'), reloads('refused')]).toEqual([1, 1, REFUSED.length]);
  expect(broker.log().join('\n')).not.toContain('canary');
});

interface RotatedRedis {
  /** With the user `broker`, this password, and the same password for the Sentinels. */
  urlWith(password: string): string;
  readonly nodes: readonly { readonly port: number }[];
  /** Gives the Sentinels the second password instead of the first. */
  rotateSentinels(): Promise<unknown>;
}

const PASSWORDS = ['canary-first', 'canary-second'] as const;
const withUser = (url: string, password: string) => url.replace('//', `//broker:${password}@`);

async function oneServer(): Promise<RotatedRedis> {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  return {
    urlWith: (password) => withUser(redis.url, password),
    nodes: [redis],
    rotateSentinels: async () => undefined,
  };
}

async function aCluster(): Promise<RotatedRedis> {
  const { url, nodes, close } = await startRedisCluster();
  onTestFinished(() => close());
  return { urlWith: (password) => withUser(url, password), nodes, rotateSentinels: async () => undefined };
}

async function aSentinel(): Promise<RotatedRedis> {
  const [first, second] = PASSWORDS;
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const sentinel = await startSentinel({ masterPort: redis.port, quorum: 1, password: first });
  onTestFinished(() => sentinel.stop());
  const url = `redis-sentinel://127.0.0.1:${sentinel.port}/mymaster?sentinelPassword=`;
  return {
    urlWith: (password) => withUser(url, password) + password,
    nodes: [redis],
    rotateSentinels: () =>
      askRedis({ port: sentinel.port, password: first }, (asked) =>
        asked.call('ACL', 'SETUSER', 'default', 'resetpass', `>${second}`),
      ),
  };
}

test.each([
  ['one server', oneServer],
  ['a cluster', aCluster],
  ['a master behind a Sentinel that has a password too', aSentinel],
])('SIGHUP gives new connections to Redis the new password: %s', async (_name, start) => {
  const { urlWith, nodes, rotateSentinels } = await start();
  const [first, second] = PASSWORDS;
  const onAllNodes = (...command: [string, ...string[]]) =>
    Promise.all(nodes.map((node) => askRedis(node, (redis) => redis.call(...command) as Promise<string>)));
  await onAllNodes('ACL', 'SETUSER', 'broker', 'on', `>${first}`, '~*', '&*', '+@all');
  const { fleet, reload, session } = await startReplicas(1, { REDIS_URL: urlWith(first) });
  const broker = fleet.broker(0);
  expect((await broker.getToken(await session('alice'), 'phone')).status).toBe(200);
  await onAllNodes('ACL', 'SETUSER', 'broker', 'resetpass', `>${second}`);
  await rotateSentinels();
  expect(await reload({ REDIS_URL: urlWith(second) })).toMatchObject([{ changed: ['redis'] }]);
  await onAllNodes('CLIENT', 'KILL', 'USER', 'broker');
  await eventually(
    async () => {
      expect((await plainRequest(`${broker.url}/readyz`)).body).toContain('"store":"ok"');
      const clients = (await onAllNodes('CLIENT', 'LIST')).join('\n').match(/name=\S+ .*user=broker/g) ?? [];
      const names = clients.map((client) => /^name=(\S+)/.exec(client)?.[1]);
      expect(new Set(names)).toEqual(new Set(['sdk-token-broker:commands', 'sdk-token-broker:announcements']));
    },
    { timeoutMs: 10_000 },
  );
  expect((await broker.getToken(await session('bob'), 'phone')).status).toBe(200);
  expect(broker.log().join('\n')).not.toMatch(/WRONGPASS|NOAUTH|canary/);
});

/** The number of records in Redis that name this encryption key. */
async function sealedWith(keyPrefix: string, keyId: string): Promise<number> {
  const redis = new Redis(inject('redisUrl'));
  onTestFinished(() => redis.disconnect());
  let count = 0;
  for await (const keys of redis.scanStream({ match: `${keyPrefix}:*}:a:*`, count: 1_000 })) {
    for (const key of keys as string[]) {
      const fields = Object.values(await redis.hgetallBuffer(key));
      count += fields.filter((value) => value.includes(keyId)).length;
    }
  }
  return count;
}
