import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { createServer as createTlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type CustomerCloud, startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import { listen } from '../../src/simulator/http-server.ts';
import { startVendorSimulator, type VendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { startBroker } from '../support/broker-process.ts';
import { exitOf } from '../support/child-process.ts';
import { freePort } from '../support/free-port.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';

const ENTRY = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
/** Whatever must not be seen. */
const secrets = new Set<string>();
const APP = { appId: 'app-1', appToken: canary('app-token'), appKey: canary('app-key') };
const LOGIN = ['--login', '--union-id', canary('union-id'), '--unique-id', canary('unique-id'), '--region', 'DE'];

let vendor: VendorSimulator;
let cloud: CustomerCloud;
let redis: RedisServer;

beforeAll(async () => {
  [vendor, cloud, redis] = await Promise.all([
    startVendorSimulator({ apps: [APP] }),
    startCustomerCloud(),
    startRedis(),
  ]);
  return () => Promise.all([vendor.close(), cloud.close(), redis.stop()]);
});

function canary(name: string): string {
  const secret = `canary-${name}-${randomBytes(8).toString('hex')}`;
  secrets.add(secret);
  return secret;
}

function encryptionKey(): string {
  const key = randomBytes(32).toString('base64');
  secrets.add(key);
  return key;
}

type Env = Readonly<Record<string, string>>;

/** Everything as it should be. */
async function soundEnv(): Promise<Env> {
  return {
    NODE_ENV: 'production',
    HOST: '127.0.0.1',
    PORT: `${await freePort()}`,
    ADMIN_PORT: `${await freePort()}`,
    ADMIN_TOKEN: canary('admin-token'),
    ...vendor.brokerEnvironment,
    ...cloud.brokerEnvironment,
    REDIS_URL: redis.url,
    TOKEN_ENCRYPTION_KEYS: `new:${encryptionKey()},old:${encryptionKey()}`,
  };
}

/** Runs `check` with the sound environment changed, and holds what is true of any report. */
async function check(change: Env = {}, args: readonly string[] = []) {
  const env = { PATH: process.env['PATH'], ...(await soundEnv()), ...change };
  const child = spawn(process.execPath, [ENTRY, 'check', ...args], { env, stdio: 'pipe' });
  const [{ code }, out, err] = await Promise.all([exitOf(child), text(child.stdout), text(child.stderr)]);
  expect([...secrets].filter((secret) => (out + err).includes(secret))).toEqual([]);
  expect(err).toBe('');

  const lines = out.trimEnd().split('\n');
  const findings = lines.slice(0, -2).filter((line) => !line.startsWith('      → '));
  const shape = new RegExp(`^(ok  |warn|FAIL)  \\S.{${(findings[0]?.indexOf(' — ') ?? 0) - 7}} — \\S`);
  for (const line of findings) expect(line).toMatch(shape);
  const count = (level: string) => findings.filter((line) => line.startsWith(level)).length;
  const sum = `${count('ok')} ok, ${counted(count('warn'), 'warning')}, ${counted(count('FAIL'), 'failure')}`;
  expect(lines.slice(-2)).toEqual(['', sum]);
  expect(code).toBe(count('FAIL') > 0 ? 1 : 0);
  const troubles = findings
    .filter((line) => !line.startsWith('ok'))
    .map((line) => {
      const mend = lines[lines.indexOf(line) + 1] ?? '';
      expect(mend).toMatch(/^ {6}→ \S/);
      return `${line.replace(/\s+/g, ' ')}\n${mend.trim()}`;
    });
  return { code, out, troubles };
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** An HTTP server for the length of the test. */
async function answering(answer: (response: ServerResponse) => void): Promise<string> {
  const { url, close } = await listen('127.0.0.1', 0, async (_request, response) => answer(response));
  onTestFinished(close);
  return url;
}

function answers(status: number, body: unknown = {}): (response: ServerResponse) => void {
  return (response) => response.writeHead(status, { location: '/login' }).end(JSON.stringify(body));
}

/** A port where connections come up and nothing ever comes back. */
async function silentPort(): Promise<number> {
  const server = createServer((socket) => void socket.resume().on('error', () => undefined)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function ownRedis(...args: string[]): Promise<RedisServer> {
  const own = await startRedis({ args });
  onTestFinished(() => own.stop());
  return own;
}

test('where all is well it says so, logs nobody in and leaves nothing in Redis', async () => {
  const { code, out, troubles } = await check({ REDIS_KEY_PREFIX: 'checked' });
  expect([code, troubles]).toEqual([0, []]);
  const host = `127\\.0\\.0\\.1:${vendor.port}`;
  for (const said of [
    /configuration +— every setting is usable/,
    /Redis +— 127\.0\.0\.1:\d+ lets us in without a password; PING takes \d+ ms/,
    /Redis version +— \d+\.\d+\.\d+/,
    /Redis scripts +— one wrote, published and removed/,
    /Redis memory +— nothing is evicted/,
    /Redis persistence +— no append-only file/,
    /token encryption +— AES-256-GCM with key new, old can still be read/,
    /session keys +— http.*\/jwks\.json publishes 1 key, good for ES256\n/,
    new RegExp(`vendor ${host} +— answers, in \\d+ ms`),
    new RegExp(`clock of ${host} +— agrees with ours`),
    new RegExp(`app default at ${host} +— signature accepted: .*empty country \\(10001\\).*--login`),
    /public API +— 127\.0\.0\.1:\d+ can be listened on/,
    /internal API +— 127\.0\.0\.1:\d+ can be listened on/,
  ]) {
    expect(out).toMatch(said);
  }
  expect(vendor.state()).toMatchObject({ attempts: [expect.any(Number)], succeeded: 0 });
  const client = new Redis(redis.url);
  expect(await client.keys('checked*')).toEqual([]);
  client.disconnect();
});

test('a broken configuration: each problem is a line, and what is sound is checked all the same', async () => {
  const { out, troubles } = await check({ PORT: 'http', SESSION_JWT_ISSUER: '', TOKEN_ENCRYPTION_KEYS: canary('key') });
  expect(troubles).toEqual([
    expect.stringMatching(/^FAIL configuration — PORT must be .*, not "http"\n→ /),
    expect.stringMatching(/^FAIL configuration — TOKEN_ENCRYPTION_KEYS must be /),
    expect.stringMatching(/^FAIL configuration — SESSION_JWT_ISSUER is required/),
  ]);
  expect(out).toMatch(/signature accepted[\s\S]*internal API/);
  expect(out).not.toMatch(/public API|session keys|Redis/);
});

test('what is allowed but unwise is a warning, and no failure', async () => {
  const { REDIS_URL: _, ...rest } = await soundEnv();
  const unwise = { ADMIN_TOKEN: 'canary-9', ADMIN_HOST: '0.0.0.0', REDIS_URL: '' };
  secrets.add(unwise.ADMIN_TOKEN);
  const { code, troubles } = await check({ ...rest, ...unwise });
  expect(code).toBe(0);
  expect(troubles).toEqual([
    expect.stringMatching(/^warn admin token — ADMIN_TOKEN is shorter than 16 characters/),
    expect.stringMatching(/^warn admin token — ADMIN_HOST=0\.0\.0\.0 offers/),
    expect.stringMatching(/^warn Redis — REDIS_URL is not set: tokens live in this process alone/),
  ]);
});

test('a real vendor without encryption on the way or NODE_ENV=production is warned of', async () => {
  const { troubles } = await check({ NODE_ENV: '', VENDOR_REGION_URLS: '{"CN":"http://vendor.invalid"}' });
  expect(troubles).toEqual([
    expect.stringMatching(/^warn environment — NODE_ENV is not production/),
    expect.stringMatching(/^warn environment — the appToken is sent unencrypted to vendor\.invalid\n/),
    expect.stringMatching(/^FAIL vendor vendor\.invalid — the host of vendor\.invalid has no address/),
  ]);
});

describe('Redis', () => {
  test('down', async () => {
    const { troubles } = await check({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
    expect(troubles).toEqual([
      expect.stringMatching(/^FAIL Redis — nothing listens at .*ECONNREFUSED\)\n→ .*REDIS_URL/),
    ]);
  });

  test('with a password: none given, a wrong one, the right one', async () => {
    const password = canary('password');
    const { url, port } = await ownRedis('--requirepass', password);
    const withPassword = (given: string) => ({ REDIS_URL: `redis://:${given}@127.0.0.1:${port}` });
    expect((await check({ REDIS_URL: url })).troubles).toEqual([expect.stringMatching(/^FAIL Redis — .*\(NOAUTH\)\n/)]);
    const wrong = await check(withPassword(canary('wrong')));
    expect(wrong.troubles).toEqual([expect.stringMatching(/^FAIL Redis — .*\(WRONGPASS\)\n→ .*percent-encoded/)]);
    const right = await check(withPassword(password));
    expect([right.troubles, right.out]).toEqual([[], expect.stringContaining('lets us in with a password')]);
  });

  test('a replica, writable or not', async () => {
    for (const readOnly of ['yes', 'no']) {
      const replica = ['--replicaof', '127.0.0.1', `${redis.port}`, '--replica-read-only', readOnly];
      const { troubles } = await check({ REDIS_URL: (await ownRedis(...replica)).url });
      expect(troubles).toEqual([expect.stringMatching(/^FAIL Redis scripts — it is a replica.*\n→ .*the primary/)]);
    }
  });

  test('a user who lacks permissions, and one who has those that are asked for', async () => {
    const password = canary('password');
    const { url, port } = await ownRedis();
    const admin = new Redis(url);
    onTestFinished(() => admin.disconnect());
    const checkWith = async (...rules: string[]) => {
      await admin.call('ACL', 'SETUSER', 'broker', 'reset', 'on', `>${password}`, ...rules);
      return (await check({ REDIS_URL: `redis://broker:${password}@127.0.0.1:${port}` })).troubles;
    };
    const lacking = expect.stringMatching(/^FAIL Redis scripts — .*\(NOPERM\)\n→ permit it /);
    expect(await checkWith('~other:*', '&*', '+@all')).toEqual([lacking]);
    expect(await checkWith('~*', '&other:*', '+@all')).toEqual([lacking]);
    const [trouble] = await checkWith('~*', '&*', '+@all', '-set');
    expect(trouble).toEqual(lacking);
    const rules = trouble?.split('ACL SETUSER … ')[1]?.split(' ') ?? [];
    expect(await checkWith(...rules)).toEqual([]);
  });

  test('TLS on one side alone', async () => {
    const tls = createTlsServer({}).listen(0, '127.0.0.1');
    await once(tls, 'listening');
    onTestFinished(() => void tls.close());
    const urls = [`redis://127.0.0.1:${(tls.address() as AddressInfo).port}`, redis.url.replace('redis:', 'rediss:')];
    for (const REDIS_URL of urls) {
      const { troubles } = await check({ REDIS_URL });
      expect(troubles).toEqual([expect.stringMatching(/^FAIL Redis — .*\n→ .*TLS/)]);
    }
  });

  test('one that evicts, and tokens in the clear, are warned of', async () => {
    const { url } = await ownRedis('--maxmemory-policy', 'allkeys-lru');
    const { code, troubles } = await check({ REDIS_URL: url, TOKEN_ENCRYPTION_KEYS: 'off' });
    expect(code).toBe(0);
    expect(troubles).toEqual([
      expect.stringMatching(/^warn Redis memory — maxmemory-policy allkeys-lru/),
      expect.stringMatching(/^warn token encryption — off/),
    ]);
  });
});

describe('sessions', () => {
  const secretKey = { kty: 'oct', k: 'AAAA', kid: 'one' };

  test.each([
    ['cannot be had', answers(404), /answers with HTTP 404 instead of a JWK Set.*\n→ .*SESSION_JWT_JWKS_URL/],
    ['are none', answers(200, { jwks: [] }), /answers with something else instead of a JWK Set/],
    [
      'are of no use',
      answers(200, { keys: [secretKey, null] }),
      /publishes 2 keys, none of use for RS256,.*\n→ publish/,
    ],
  ])('keys that %s', async (_name, answer, said) => {
    const { troubles } = await check({ SESSION_JWT_JWKS_URL: `${await answering(answer)}/?key=${canary('query')}` });
    expect(troubles).toEqual([expect.stringMatching(/^FAIL session keys — /)]);
    expect(troubles[0]).toMatch(said);
  });

  test('keys that do not fit the algorithms', async () => {
    const { troubles } = await check({ SESSION_JWT_ALGORITHMS: 'RS256' });
    expect(troubles).toEqual([expect.stringMatching(/publishes 1 key, none of use for RS256\n→ .*_ALGORITHMS/)]);
  });

  test('a shared secret', async () => {
    const { out, troubles } = await check({
      SESSION_JWT_JWKS_URL: '',
      SESSION_JWT_SECRET: canary('hmac-secret-of-any'),
    });
    expect([troubles, out]).toEqual([[], expect.stringMatching(/session keys +— a shared secret for HS256/)]);
  });

  test.each([
    ['calls a made-up token inactive', answers(200, { active: false }), []],
    [
      'calls a made-up token active',
      answers(200, { active: true }),
      [/^FAIL introspection — .*anybody would get in\n/],
    ],
    ['refuses the client', answers(401), [/^FAIL introspection — .*client id and secret \(HTTP 401\)\n→ .*_CLIENT_ID/]],
    ['is broken', answers(500), [/^FAIL introspection — .*answers with HTTP 500/]],
    ['speaks otherwise', answers(200, 'yes'), [/^FAIL introspection — .*answers with something else/]],
  ])('an introspection endpoint that %s', async (_name, answer, said) => {
    const { troubles } = await check({
      SESSION_MODE: 'introspection',
      SESSION_INTROSPECTION_URL: await answering(answer),
      SESSION_INTROSPECTION_CLIENT_ID: 'broker',
      SESSION_INTROSPECTION_CLIENT_SECRET: canary('client-secret'),
    });
    expect(troubles).toEqual(said.map((pattern) => expect.stringMatching(pattern)));
  });

  test.each([
    [401, []],
    [403, []],
    [200, [/^FAIL session server — .*answers 200 though there is no session.*\n→ it must answer 401/]],
    [302, [/^FAIL session server — .*answers 302 .*\n→ it must answer 401 or 403 then, without a redirect/]],
    [500, [/^FAIL session server — .*answers 500/]],
  ])('a session server that answers %s to nobody', async (status, said) => {
    const url = await answering(answers(status, { sub: 'anonymous' }));
    const { troubles } = await check({ SESSION_MODE: 'forward', SESSION_FORWARD_URL: url });
    expect(troubles).toEqual(said.map((pattern) => expect.stringMatching(pattern)));
  });
});

describe('the vendor', () => {
  test.each([
    ['key', { VENDOR_APP_KEY: canary('wrong-key') }, /the signature is wrong \(10007:-3\)\n→ correct its appKey/],
    ['id', { VENDOR_APP_ID: 'app-2' }, /does not know the app \(10901052\)\n→ correct its appId/],
  ])('refuses a wrong %s', async (_name, wrong, said) => {
    const { troubles } = await check(wrong);
    expect(troubles).toEqual([expect.stringMatching(/^FAIL app default at /)]);
    expect(troubles[0]).toMatch(said);
  });

  test.each([
    [600_000, 'FAIL', /— (599|600|601) s ahead of ours\n→ .*NTP/],
    [-60_000, 'warn', /— (59|60|61) s behind ours\n→ .*NTP/],
  ])('has a clock %i ms off ours: the signature follows it', async (clockOffsetMs, level, said) => {
    vendor.configure({ clockOffsetMs });
    onTestFinished(() => vendor.configure({ clockOffsetMs: 0 }));
    const { out, troubles } = await check();
    expect(troubles).toEqual([expect.stringMatching(new RegExp(`^${level} clock of `))]);
    expect(troubles[0]).toMatch(said);
    expect(out).toMatch(/signature accepted/);
  });

  test('is checked at every domain and for every app', async () => {
    const elsewhere = await startVendorSimulator({ apps: [{ ...APP, appId: 'app-of-another' }] });
    onTestFinished(() => elsewhere.close());
    const page = await answering((response) => response.end('<html>'));
    const apps = { ios: APP, android: { ...APP, appKey: canary('other-key') } };
    const one = { VENDOR_APP_ID: '', VENDOR_APP_TOKEN: '', VENDOR_APP_KEY: '' };
    const VENDOR_REGION_URLS = JSON.stringify({ CN: elsewhere.url, DE: page, FR: vendor.url });
    const { out, troubles } = await check({ ...one, VENDOR_APPS: JSON.stringify(apps), VENDOR_REGION_URLS });
    expect(troubles).toEqual([
      expect.stringMatching(`^FAIL app android at 127.0.0.1:${vendor.port} — .*10007`),
      expect.stringMatching(`^FAIL app ios at 127.0.0.1:${elsewhere.port} — .*10901052`),
      expect.stringMatching(`^FAIL app android at 127.0.0.1:${elsewhere.port} — .*10901052`),
      expect.stringMatching(`^FAIL vendor ${new URL(page).host} — .*something other than the vendor's protocol`),
    ]);
    expect(out).toMatch(new RegExp(`ok +app ios at 127.0.0.1:${vendor.port} +— signature accepted`));
  });

  test('is logged in to for real with --login, and only then', async () => {
    const { out, troubles } = await check({}, LOGIN);
    expect([troubles, out]).toEqual([
      [],
      expect.stringMatching(/login default at .*— worked: accessId …\d{4}, .* 30 days\n/),
    ]);
    expect(vendor.loginsOf(LOGIN[2] ?? '', LOGIN[4] ?? '')).toBe(1);
    const wrong = await check({ VENDOR_APP_TOKEN: canary('wrong-token') }, LOGIN);
    expect(wrong.troubles).toEqual([
      expect.stringMatching(/^FAIL login default .*\(10901050\)\n→ correct its appToken/),
    ]);
    vendor.configure({ fault: 'maintenance', faultCount: 1 });
    expect((await check({}, LOGIN)).troubles).toEqual([expect.stringMatching(/maintenance \(10901060\)\n→ wait/)]);
  });
});

describe('ports', () => {
  test('that somebody else has', async () => {
    const { troubles } = await check({ PORT: `${vendor.port}`, ADMIN_HOST: '192.0.2.1' });
    expect(troubles).toEqual([
      expect.stringMatching(/^FAIL public API — .*taken by something else \(EADDRINUSE\)\n→ .*HOST and PORT/),
      expect.stringMatching(/^FAIL internal API — 192\.0\.2\.1:\d+ cannot be listened on \(EADDRNOTAVAIL\)\n→ /),
    ]);
  });

  test('that are one and the same', async () => {
    const port = `${await freePort()}`;
    const { troubles } = await check({ PORT: port, ADMIN_PORT: port });
    expect(troubles).toEqual([expect.stringMatching(/^FAIL internal API — .*\n→ .*both APIs need one of their own/)]);
  });

  test('that the broker itself has', async () => {
    const broker = await startBroker(await soundEnv());
    onTestFinished(async () => void (await broker.stop()));
    const [PORT = '', ADMIN_PORT = ''] = [broker.url, broker.adminUrl].map((url) => new URL(url).port);
    const { out, troubles } = await check({ PORT, ADMIN_PORT });
    expect(troubles).toEqual([]);
    expect(out.match(/a broker runs at 127\.0\.0\.1:\d+ already/g)).toHaveLength(2);
  });
});

test('it comes to an end within 15 s where nothing ever answers', { timeout: 15_000 }, async () => {
  const silent = `127.0.0.1:${await silentPort()}`;
  const { troubles } = await check({
    VENDOR_BASE_URL: `http://${silent}`,
    VENDOR_TIMEOUT_MS: '60000',
    SESSION_JWT_JWKS_URL: `http://${silent}`,
    REDIS_URL: `redis://${silent}`,
    PORT: silent.split(':')[1] ?? '',
  });
  expect(troubles).toEqual([
    expect.stringMatching(/^FAIL Redis — .* did not answer in time\n/),
    expect.stringMatching(/^FAIL session keys — .* did not answer in time\n/),
    expect.stringMatching(/^FAIL vendor .* did not answer in time\n/),
    expect.stringMatching(/^FAIL public API — .*taken by something else/),
  ]);
});

test('a wrong command line is told, with exit code 2', async () => {
  for (const args of ['--nonsense', '--login', '--union-id a', '--login --union-id a --unique-id b --region de']) {
    const child = spawn(process.execPath, [ENTRY, 'check', ...args.split(' ')], { env: {}, stdio: 'pipe' });
    const [{ code }, out, err] = await Promise.all([exitOf(child), text(child.stdout), text(child.stderr)]);
    expect([code, out, err]).toEqual([2, '', expect.stringMatching(/--(nonsense|union-id|region|login)/)]);
  }
});
