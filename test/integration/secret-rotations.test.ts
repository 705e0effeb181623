import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { SignJWT } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { rekey } from '../../src/commands/rekey.ts';
import { listen, sendJson } from '../../src/simulator/http-server.ts';
import type { BrokerProcess } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { sealedUnder } from '../support/filled-store.ts';
import { type Fleet, lateCommands } from '../support/fleet.ts';
import { listening } from '../support/listening.ts';
import { type Callers, type Load, startLoad } from '../support/load.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { plainRequest } from '../support/plain-request.ts';
import { sampled } from '../support/prometheus-text.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { startSentinel } from '../support/redis-sentinel.ts';
import { askRedis, startRedis } from '../support/redis-server.ts';
import { type FleetWithSecretFiles, type Secrets, startWithSecretFiles } from '../support/secret-files.ts';
import { VENDOR_APP } from '../support/vendor-app.ts';

const ADMIN_TOKEN = 'canary-admin-token-1';
const newSecret = () => `canary-${randomBytes(20).toString('hex')}`;
const newEncryptionKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;

const CLAIMS = { SESSION_JWT_ISSUER: 'https://accounts.example', SESSION_JWT_AUDIENCE: 'sdk-token-broker' };

function issuer(alg: string, key: KeyObject | Uint8Array, kid?: string): Callers['session'] {
  const [iss, aud] = Object.values(CLAIMS) as [string, string];
  return (unionId) =>
    new SignJWT({ iss, aud, sub: unionId, region: 'DE', exp: Math.floor(Date.now() / 1_000) + 600 })
      .setProtectedHeader({ alg, ...(kid !== undefined && { kid }) })
      .sign(key);
}

interface SigningKey {
  readonly setting: string;
  readonly session: Callers['session'];
}

function hmac(): SigningKey {
  const secret = newSecret();
  return { setting: secret, session: issuer('HS256', Buffer.from(secret)) };
}

function keyPair(): SigningKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    setting: publicKey.export({ type: 'spki', format: 'pem' }).toString().trim(),
    session: issuer('ES256', privateKey),
  };
}

function publishedKey(kid: string) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' };
  return { jwk, session: issuer('ES256', privateKey, kid) };
}

/** Ends the load, and expects that no request failed and that the log of no replica shows a secret. */
async function expectNoFailure(load: Load, { brokers }: Pick<Fleet, 'brokers'>): Promise<void> {
  expect((await load.end()).slice(0, 5)).toEqual([]);
  expect(brokers.flatMap((broker) => broker.log().filter((line) => line.includes('canary-')))).toEqual([]);
}

describe('two replicas whose secrets are replaced one after the other', () => {
  const app: { appId: string; appToken: string; appKey: string; secondAppKey?: string } = { ...VENDOR_APP };
  const [encryptionKey, tracingKey] = [newEncryptionKey('old'), newSecret()];
  const firstKey = publishedKey('first');
  let publishedKeys = [firstKey.jwk];
  /** With the present secrets. */
  const callers = { session: firstKey.session, adminToken: () => ADMIN_TOKEN };
  let fleet: FleetWithSecretFiles;
  let backend: OtlpReceiver;

  beforeAll(async () => {
    backend = await startOtlpReceiver();
    const cloud = await listen('127.0.0.1', 0, async (_request, response) =>
      sendJson(response, { keys: publishedKeys }),
    );
    fleet = await startWithSecretFiles(
      {
        ADMIN_TOKENS: `cloud:${ADMIN_TOKEN}`,
        VENDOR_APP_KEY: app.appKey,
        TOKEN_ENCRYPTION_KEYS: encryptionKey,
        OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${tracingKey}`,
      },
      {
        replicas: 2,
        vendor: { apps: [app] },
        env: {
          ...CLAIMS,
          SESSION_JWT_JWKS_URL: `${cloud.url}/jwks.json`,
          OTEL_EXPORTER_OTLP_ENDPOINT: backend.url,
          OTEL_TRACES_SAMPLER_ARG: '0.2',
          OTEL_BSP_SCHEDULE_DELAY: '100',
        },
      },
    );
    return () => Promise.all([fleet.close(), backend.close(), cloud.close()]);
  });

  /** The ids of the key ring that a replica reports. */
  async function keysInUse({ adminUrl }: BrokerProcess): Promise<string[]> {
    const headers = { authorization: `Bearer ${callers.adminToken()}` };
    return JSON.parse((await plainRequest(`${adminUrl}/status`, { headers })).body).store.encryptionKeys;
  }

  test("the vendor's appKey is replaced under load, with no failed request", async () => {
    const load = await startLoad(fleet, callers);
    const [oldKey, newKey] = [app.appKey, newSecret()];
    app.secondAppKey = newKey;
    await load.goOn();
    expect(await fleet.reload({ VENDOR_APP_KEY: newKey })).toMatchObject(Array(2).fill({ changed: ['vendor'] }));
    await load.goOn();
    app.appKey = newKey;
    delete app.secondAppKey;
    await load.goOn();
    // Back to the old key.
    app.secondAppKey = oldKey;
    await fleet.reload({ VENDOR_APP_KEY: oldKey });
    await load.goOn();
    await expectNoFailure(load, fleet);
  });

  test('a vendor that accepts one appKey at a time refuses logins until the replicas have the new one, and known tokens stay readable', async () => {
    const [known, late] = [await callers.session('known'), await callers.session('late')];
    for (const broker of fleet.brokers) expect((await broker.getToken(known, 'phone')).status).toBe(200);
    app.appKey = newSecret();
    delete app.secondAppKey;
    const refused = await fleet.broker(0).getToken(late, 'phone');
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'vendor_rejected', vendorCode: 10_007 });
    for (const broker of fleet.brokers) expect((await broker.getToken(known, 'phone')).status).toBe(200);
    await fleet.reload({ VENDOR_APP_KEY: app.appKey });
    // No account waits because of the refusal.
    expect((await fleet.broker(0).getToken(late, 'phone')).status).toBe(200);
  });

  test('an admin token is replaced under load, with no failed request', async () => {
    const load = await startLoad(fleet, callers);
    const added = newSecret();
    expect(await fleet.reload({ ADMIN_TOKENS: `cloud:${ADMIN_TOKEN},cloud-2:${added}` })).toMatchObject(
      Array(2).fill({ changed: ['admin'] }),
    );
    await load.goOn();
    callers.adminToken = () => added;
    await load.goOn();
    await fleet.reload({ ADMIN_TOKENS: `cloud-2:${added}` });
    await load.goOn();
    for (const { adminUrl } of fleet.brokers) {
      const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
      expect((await plainRequest(`${adminUrl}/accounts/known`, { headers })).status).toBe(401);
    }
    await expectNoFailure(load, fleet);
  });

  test('the key of the tracing backend is replaced under load, with no failed request', async () => {
    const load = await startLoad(fleet, callers);
    const next = newSecret();
    const exportsWith = (key: string) => backend.raw().filter((request) => request.includes(key)).length;
    await eventually(() => exportsWith(tracingKey) > 0);
    expect(await fleet.reload({ OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${next}` })).toMatchObject(
      Array(2).fill({ changed: ['tracing'] }),
    );
    await eventually(() => exportsWith(next) > 1);
    const before = exportsWith(tracingKey);
    await eventually(() => exportsWith(next) > 3);
    expect(exportsWith(tracingKey)).toBe(before);
    await expectNoFailure(load, fleet);
  });

  test('an encryption key is replaced under load, with no failed request and no repeated login', async () => {
    const load = await startLoad(fleet, callers);
    const next = newEncryptionKey('new');
    const { REDIS_URL = '', REDIS_KEY_PREFIX = '' } = fleet.env;
    const count = () => sealedUnder(REDIS_URL, REDIS_KEY_PREFIX);
    for (const ring of [`${encryptionKey},${next}`, `${next},${encryptionKey}`]) {
      expect(await fleet.reload({ TOKEN_ENCRYPTION_KEYS: ring })).toMatchObject(Array(2).fill({ changed: ['redis'] }));
      const ids = ring.split(',').map((entry) => entry.split(':')[0]);
      // A report answers all callers for one second.
      await eventually(async () => isDeepStrictEqual(await Promise.all(fleet.brokers.map(keysInUse)), [ids, ids]));
      await load.goOn();
    }
    expect(Object.keys(await count()).sort()).toEqual(['new', 'old']);
    const env = { REDIS_URL, REDIS_KEY_PREFIX, TOKEN_ENCRYPTION_KEYS: `${next},${encryptionKey}` };
    const silent = { out: () => undefined, err: () => undefined, version: '' };
    expect(await rekey([], { ...silent, env })).toBe(0);
    expect(Object.keys(await count())).toEqual(['new']);
    await fleet.reload({ TOKEN_ENCRYPTION_KEYS: next });
    await load.goOn();
    await expectNoFailure(load, fleet);
    const { succeeded } = fleet.vendor.state();
    // Without an answer of Redis in time, as on a busy machine, a read logs in, and its token is written a moment later.
    const late = await lateCommands(fleet);
    const repeated = async () => succeeded - ((await count())['new']?.['a'] ?? 0);
    await expect.poll(repeated).toSatisfy((logins: number) => logins >= 0 && logins <= late);
  });

  test('a key in the JWKS is replaced under load, with no failed request and no signal', async () => {
    const session = await callers.session('known');
    for (const broker of fleet.brokers) expect((await broker.getToken(session, 'phone')).status).toBe(200);
    const next = publishedKey('next');
    publishedKeys = [next.jwk, ...publishedKeys];
    // A replica fetches the keys at most once in 5 s.
    await sleep(5_000);
    const load = await startLoad(fleet, callers);
    callers.session = next.session;
    await load.goOn();
    publishedKeys = [next.jwk];
    await load.goOn();
    await expectNoFailure(load, fleet);
  });
});

interface SessionSecret {
  readonly files: Secrets;
  readonly env: Readonly<Record<string, string>>;
  readonly session: Callers['session'];
  /** Replaces the secret while the load runs. */
  replace(fleet: FleetWithSecretFiles, load: Load, callers: { session: Callers['session'] }): Promise<void>;
}

/** A key in a file, which takes two of them. */
function keyInFile(setting: string, former: SigningKey, next: SigningKey): SessionSecret {
  return {
    files: { [setting]: former.setting },
    env: { ...CLAIMS, SESSION_JWT_JWKS_URL: '', SESSION_CACHE_SECONDS: '1' },
    session: former.session,
    async replace(fleet, load, callers) {
      const both = { [setting]: `${former.setting}\n${next.setting}` };
      expect(await fleet.reload(both)).toMatchObject(Array(2).fill({ changed: ['session'] }));
      // Apps have sessions of both kinds until the last old one ends.
      let turn = 0;
      callers.session = (unionId) => {
        turn += 1;
        return (turn % 2 === 0 ? former : next).session(unionId);
      };
      await load.goOn();
      callers.session = next.session;
      await load.goOn();
      await fleet.reload({ [setting]: next.setting });
      await load.goOn();
      // Nobody has used this session, so no replica accepts it from memory.
      const old = await former.session('new');
      for (const broker of fleet.brokers) expect((await broker.getToken(old, 'phone')).status).toBe(401);
    },
  };
}

/**
 * An OAuth server that accepts several secrets of the broker, and takes every token for one of the account it names.
 */
async function startOAuthServer(secrets: Set<string>) {
  const server = createServer(async (request, response) => {
    const [, credentials = ''] = request.headers.authorization?.split(' ') ?? [];
    const [, secret = ''] = Buffer.from(credentials, 'base64').toString().split(':').map(decodeURIComponent);
    const isBroker = secrets.has(secret);
    response.writeHead(isBroker ? 200 : 401, { 'content-type': 'application/json' });
    let body = '';
    for await (const chunk of request) body += chunk;
    const sub = new URLSearchParams(body).get('token')?.split('.')[0];
    response.end(JSON.stringify(isBroker ? { active: true, sub, region: 'DE' } : { error: 'invalid_client' }));
  });
  return `${(await listening(server)).url}/introspect`;
}

async function clientSecret(): Promise<SessionSecret> {
  const [former, next] = [newSecret(), newSecret()];
  const accepted = new Set([former]);
  return {
    files: { SESSION_INTROSPECTION_CLIENT_SECRET: former },
    env: {
      SESSION_MODE: 'introspection',
      SESSION_INTROSPECTION_URL: await startOAuthServer(accepted),
      SESSION_INTROSPECTION_CLIENT_ID: 'broker',
    },
    session: async (unionId) => `${unionId}.${randomBytes(8).toString('hex')}`,
    async replace(fleet, load) {
      accepted.add(next);
      await load.goOn();
      expect(await fleet.reload({ SESSION_INTROSPECTION_CLIENT_SECRET: next })).toMatchObject(
        Array(2).fill({ changed: ['session'] }),
      );
      await load.goOn();
      accepted.delete(former);
      await load.goOn();
    },
  };
}

interface RotatedRedis {
  /** The user whose password is replaced, on all nodes. */
  readonly user: string;
  /** With this password, also for the Sentinels. */
  urlWith(password: string): string;
  readonly nodes: readonly { readonly port: number }[];
  /** Servers with a password of their own. */
  readonly sentinels?: readonly { readonly port: number }[];
}

const [FIRST, SECOND] = ['canary-first', 'canary-second'] as const;
const withUser = (url: string, user: string, password: string) => url.replace('//', `//${user}:${password}@`);

async function oneServer(): Promise<RotatedRedis> {
  const redis = await startRedis();
  const urlWith = (password: string) => withUser(redis.url, 'default', password);
  return { user: 'default', urlWith, nodes: [redis] };
}

async function aCluster(): Promise<RotatedRedis> {
  const { url, nodes } = await startRedisCluster();
  return { user: 'broker', urlWith: (password) => withUser(url, 'broker', password), nodes };
}

async function aSentinel(): Promise<RotatedRedis> {
  const redis = await startRedis();
  const sentinel = await startSentinel({ masterPort: redis.port, quorum: 1, password: FIRST });
  const url = `redis-sentinel://127.0.0.1:${sentinel.port}/mymaster?sentinelPassword=`;
  return {
    user: 'broker',
    urlWith: (password) => withUser(url, 'broker', password) + password,
    nodes: [redis],
    sentinels: [sentinel],
  };
}

test.each([
  [
    'the HMAC secret of the sessions and the password of Redis are replaced under load, with no failed request',
    () => keyInFile('SESSION_JWT_SECRET', hmac(), hmac()),
    oneServer,
  ],
  [
    'the public key of the sessions and the password of a user of a Redis Cluster are replaced under load, with no failed request',
    () => keyInFile('SESSION_JWT_PUBLIC_KEY', keyPair(), keyPair()),
    aCluster,
  ],
  [
    'the client secret of the broker at the OAuth server and the passwords of Redis and of its Sentinels are replaced under load, with no failed request',
    clientSecret,
    aSentinel,
  ],
])('%s', async (_name, sessionSecret, start) => {
  const { files, env, session, replace } = await sessionSecret();
  const { user, urlWith, nodes, sentinels = [] } = await start();
  // An administrator, who stays when the password of `default` changes.
  const admin = { user: 'admin', password: 'admin' };
  await Promise.all(
    nodes.map((node) =>
      askRedis(node, async (redis) => {
        await redis.call('ACL', 'SETUSER', 'admin', 'on', '>admin', '~*', '&*', '+@all');
        await redis.call('ACL', 'SETUSER', user, 'on', 'resetpass', `>${FIRST}`, '~*', '&*', '+@all');
      }),
    ),
  );
  const onNodes = (...command: [string, ...string[]]) =>
    Promise.all(
      nodes.map(({ port }) =>
        askRedis({ port, username: admin.user, password: admin.password }, (redis) => redis.call(...command)),
      ),
    );
  const onSentinels = (password: string, ...command: [string, ...string[]]) =>
    Promise.all(sentinels.map(({ port }) => askRedis({ port, password }, (redis) => redis.call(...command))));
  const secrets = { ...files, ADMIN_TOKENS: `cloud:${ADMIN_TOKEN}`, REDIS_URL: urlWith(FIRST) };
  const fleet = await startWithSecretFiles(secrets, { replicas: 2, env });
  const callers = { session, adminToken: () => ADMIN_TOKEN };
  const load = await startLoad(fleet, callers);
  await replace(fleet, load, callers);

  await onNodes('ACL', 'SETUSER', user, `>${SECOND}`);
  await onSentinels(FIRST, 'ACL', 'SETUSER', 'default', `>${SECOND}`);
  await load.goOn();
  expect(await fleet.reload({ REDIS_URL: urlWith(SECOND) })).toMatchObject(Array(2).fill({ changed: ['redis'] }));
  await load.goOn();
  await onNodes('ACL', 'SETUSER', user, `<${FIRST}`);
  await onSentinels(SECOND, 'ACL', 'SETUSER', 'default', `<${FIRST}`);
  await load.goOn();
  await expectNoFailure(load, fleet);
  for (const { adminUrl } of fleet.brokers) {
    const { body: metrics } = await plainRequest(`${adminUrl}/metrics`);
    // A refused password has this kind.
    expect(sampled(metrics, 'sdk_token_broker_redis_errors_total', { kind: 'other' })).toBe(0);
  }

  // New connections use the new password.
  await onNodes('CLIENT', 'KILL', 'USER', user);
  const ofUser = new RegExp(`name=(\\S+) .*user=${user} `, 'g');
  await eventually(async () => {
    const clients = (await onNodes('CLIENT', 'LIST')).join('\n').matchAll(ofUser);
    const names = new Set([...clients].map(([, name]) => name));
    expect(names).toEqual(new Set(['sdk-token-broker:commands', 'sdk-token-broker:announcements']));
    for (const { url } of fleet.brokers) {
      expect((await plainRequest(`${url}/readyz`)).body).toContain('"store":"ok"');
    }
  });
  const after = await callers.session('after');
  for (const broker of fleet.brokers) expect((await broker.getToken(after, 'phone')).status).toBe(200);
  expect(fleet.brokers.flatMap((broker) => broker.log()).join('\n')).not.toMatch(/WRONGPASS|NOAUTH|canary/);
});
