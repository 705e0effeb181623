import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createServer as createTlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { check as checkCommand } from '../../src/commands/check.ts';
import { run } from '../../src/commands/run.ts';
import { type CustomerCloud, startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import { listen } from '../../src/simulator/http-server.ts';
import { startVendorSimulator, type VendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { Keys } from '../../src/store/redis/keys.ts';
import { accountId } from '../../src/token/subject.ts';
import { exitOf } from '../support/child-process.ts';
import { readFile } from '../support/documents.ts';
import { fillStore, keyRing, newKey, openRedisStore, type TestKey } from '../support/filled-store.ts';
import { freePort } from '../support/free-port.ts';
import { HAPROXY, startHaproxy } from '../support/haproxy.ts';
import { listening } from '../support/listening.ts';
import { newFolder } from '../support/new-folder.ts';
import { keysMatching, redisClient } from '../support/redis-client.ts';
import { startOneNode } from '../support/redis-cluster.ts';
import { askRedis, type RedisServer, startRedis } from '../support/redis-server.ts';

const ENTRY = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
/** Values that must not appear in any output. */
const secrets = new Set<string>();
const APP = { appId: 'app-1', appToken: canary('app-token'), appKey: canary('app-key') };
const LOGIN = ['--login', '--union-id', canary('union-id'), '--unique-id', canary('unique-id'), '--region', 'DE'];

/** Without it, check warns. */
const SAVING = ['--appendonly', 'yes'];

let vendor: VendorSimulator;
let cloud: CustomerCloud;
let redis: RedisServer;

beforeAll(async () => {
  [vendor, cloud, redis] = await Promise.all([
    startVendorSimulator({ apps: [APP] }),
    startCustomerCloud(),
    startRedis({ args: SAVING }),
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

/** An environment without problems. */
async function validEnv(): Promise<Env> {
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

interface Output {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command in this process. */
async function outputOf(command: typeof checkCommand, args: readonly string[], env: Env): Promise<Output> {
  const lines: Record<'out' | 'err', string> = { out: '', err: '' };
  const to = (stream: 'out' | 'err') => (line: string) => {
    lines[stream] += `${line}\n`;
  };
  const code = await command(args, { env, version: '0', out: to('out'), err: to('err') });
  return { code, ...lines };
}

/** Runs `check` in this process with changes to the valid environment. */
async function check(change: Env = {}, args: readonly string[] = []) {
  return report(await outputOf(checkCommand, args, { ...(await validEnv()), ...change }));
}

/** Checks with these changes, and expects these problems. A warning alone fails nothing. */
async function expectProblems(change: Env, ...expected: readonly (RegExp | string)[]) {
  const { problems } = await check(change);
  expect(problems).toEqual(expected.map((one) => expect.stringMatching(one)));
  return problems;
}

/** As `check`, but as a process of its own, with this standard input. */
async function checkAsProcess(change: Env, args: readonly string[], input: string) {
  const env = { ...(await validEnv()), ...change };
  const child = spawn(process.execPath, [ENTRY, 'check', ...args], { env, stdio: 'pipe' });
  child.stdin.end(input);
  const [{ code }, out, err] = await Promise.all([exitOf(child), text(child.stdout), text(child.stderr)]);
  return report({ code, out, err });
}

/** Asserts the rules that apply to every report, and returns its problems. */
function report({ code, out, err }: Output) {
  expect([...secrets].filter((secret) => (out + err).includes(secret))).toEqual([]);
  expect(err).toBe('');

  const lines = out.trimEnd().split('\n');
  const results = lines.slice(0, -2).filter((line) => !line.startsWith('      To fix it: '));
  const shape = new RegExp(`^(ok  |warn|FAIL)  \\S.{${(results[0]?.indexOf(' — ') ?? 0) - 7}} — \\S`);
  for (const line of results) expect(line).toMatch(shape);
  const count = (level: string) => results.filter((line) => line.startsWith(level)).length;
  const summary = `${count('ok')} ok, ${plural(count('warn'), 'warning')}, ${plural(count('FAIL'), 'failure')}`;
  expect(lines.slice(-2)).toEqual(['', summary]);
  expect(code).toBe(count('FAIL') > 0 ? 1 : 0);
  const problems = results
    .filter((line) => !line.startsWith('ok'))
    .map((line) => {
      const fix = lines[lines.indexOf(line) + 1] ?? '';
      expect(fix).toMatch(/^ {6}To fix it: [A-Z]/);
      return `${line.replace(/\s+/g, ' ')}\n${fix.trim()}`;
    });
  return { code, out, problems };
}

function plural(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** Starts an HTTP server for the duration of the test. */
async function answering(answer: (response: ServerResponse) => void): Promise<string> {
  const { url, close } = await listen('127.0.0.1', 0, async (_request, response) => answer(response));
  onTestFinished(close);
  return url;
}

/** A file that exists until the end of the test. */
function fileWith(content: string): string {
  const folder = newFolder();
  const path = join(folder, 'file');
  writeFileSync(path, content);
  return path;
}

function ownRedis(...args: string[]): Promise<RedisServer> {
  return startRedis({ args: [...SAVING, ...args] });
}

/** A Redis that lets nobody in without a password. `allow` sets the rules of the user of `url`. */
async function redisWithUser(...args: string[]) {
  const [password, ofDefault] = [canary('password'), canary('password-of-default')];
  const { port } = await ownRedis('--requirepass', ofDefault, ...args);
  const admin = redisClient(`redis://:${ofDefault}@127.0.0.1:${port}`);
  const allow = (...rules: string[]) => admin.call('ACL', 'SETUSER', 'broker', 'reset', 'on', `>${password}`, ...rules);
  return { url: `redis://broker:${password}@127.0.0.1:${port}`, allow };
}

test('reports ok if nothing is wrong, logs nobody in and leaves nothing in Redis', async () => {
  const { code, out, problems } = await check({ REDIS_KEY_PREFIX: 'checked' });
  expect([code, problems]).toEqual([0, []]);
  const host = `127\\.0\\.0\\.1:${vendor.port}`;
  for (const expected of [
    /configuration +— every setting is valid/,
    /Redis +— connected to 127\.0\.0\.1:\d+ \(version \d+\.\d+\.\d+\) without a password; PING takes \d+ ms/,
    /Redis scripts +— a script wrote a key and deleted it; a message that it published arrived/,
    /Redis memory +— Redis evicts no keys/,
    /token encryption +— AES-256-GCM with key new; old can still decrypt/,
    /session keys +— http.*\/jwks\.json publishes 1 key; accepted: .*ES256/,
    new RegExp(`vendor ${host} +— answered in \\d+ ms`),
    new RegExp(`clock of ${host} +— agrees with the clock of this machine`),
    new RegExp(`app default at ${host} +— signature accepted: .*empty country \\(10001\\).*--login`),
  ]) {
    expect(out).toMatch(expected);
  }
  expect(vendor.state()).toMatchObject({ attempts: [expect.any(Number)], succeeded: 0 });
  expect(await keysMatching('checked*', redisClient(redis.url))).toEqual([]);
});

describe('the keys of stored tokens', () => {
  const [fleetKey, formerKey] = [newKey('2026-11'), newKey('2025-11')];

  async function fill(keyPrefix: string, keys: readonly TestKey[], count: number) {
    const store = await openRedisStore(redis.url, keyPrefix, keys);
    const names = Array.from({ length: count }, (_, number) => `${keys[0]?.id}-${number}`);
    const subjects = names.map((unionId) => ({ app: 'default', unionId, uniqueId: 'phone' }));
    await fillStore(store, subjects);
    await store.close();
    return subjects;
  }

  /** Checks with `ring`, after each of `rings` has encrypted ten tokens. */
  async function checkStored(rings: readonly TestKey[][], ring: string, args: readonly string[] = []) {
    const REDIS_KEY_PREFIX = `checked-${randomUUID()}`;
    for (const keys of rings) await fill(REDIS_KEY_PREFIX, keys, 10);
    const env = { ...(await validEnv()), REDIS_KEY_PREFIX, TOKEN_ENCRYPTION_KEYS: ring };
    const { code, out } = await outputOf(checkCommand, args, env);
    const lines = out.split('\n');
    const at = lines.findIndex((line) => /token encryption|令牌加密/.test(line));
    return { code, line: lines[at]?.replace(/\s+/g, ' '), fix: lines[at + 1] };
  }

  test('pass if the replica has all of them', async () => {
    const { code, line } = await checkStored([[fleetKey], [formerKey]], keyRing(fleetKey, formerKey));
    expect([code, line]).toEqual([0, expect.stringMatching(/^ok token encryption — AES-256-GCM with key 2026-11;/)]);
  });

  test('fail if the replica lacks one, has another one of that id, or none, with the ids and the number', async () => {
    const missing = await checkStored([[fleetKey], [formerKey]], keyRing(fleetKey));
    expect(missing.code).toBe(1);
    expect(missing.line).toMatch(
      /^FAIL token encryption — no key of TOKEN_ENCRYPTION_KEYS decrypts 10 of 20 stored tokens that were looked at\. They need 2025-11$/,
    );
    expect(missing.fix).toMatch(
      /^ {6}To fix it: Use the same TOKEN_ENCRYPTION_KEYS as the other replicas, .*docs\/key-rotation\.md/,
    );
    const other = await checkStored([[fleetKey]], keyRing(newKey('2026-11')));
    expect(other.line).toMatch(
      /decrypts 10 of 10 .*They need 2026-11 \(another key of this id, unless the tokens are damaged\)$/,
    );
    expect((await checkStored([[fleetKey]], 'off')).line).toMatch(/^FAIL .*decrypts 10 of 10 .*They need 2026-11$/);
    const chinese = await checkStored([[fleetKey], [formerKey]], keyRing(formerKey), ['--lang', 'zh']);
    expect(chinese.line).toMatch(
      /^FAIL 令牌加密 — 抽查的 20 个已存令牌中，有 10 个用 TOKEN_ENCRYPTION_KEYS 的任何密钥都无法解密，需要 2026-11$/,
    );
    expect(chinese.fix).toMatch(/^ {6}修正方法：.*docs\/zh\/key-rotation\.md/);
  });

  test('do not fail, but warn, if the tokens are not encrypted yet', async () => {
    const { code, line } = await checkStored([[]], keyRing(fleetKey));
    expect(code).toBe(0);
    expect(line).toMatch(/^warn token encryption — 10 of 10 stored tokens that were looked at are not encrypted/);
  });

  test('are looked at in a small number of tokens, and damaged or foreign entries do not end the check', async () => {
    const REDIS_KEY_PREFIX = `checked-${randomUUID()}`;
    const subjects = await fill(REDIS_KEY_PREFIX, [fleetKey], 400);
    const keys = new Keys(REDIS_KEY_PREFIX);
    await askRedis(redis, async (client) => {
      for (const { unionId } of subjects.slice(0, 200)) await client.set(keys.account(accountId(unionId)), 'no hash');
      await client.zadd(keys.due(0), 0, 'foreign', 1, 'x'.repeat(44));
      await client.set(keys.due(1), 'no queue');
    });
    const [problem = ''] = await expectProblems(
      { REDIS_KEY_PREFIX, TOKEN_ENCRYPTION_KEYS: keyRing(formerKey) },
      /^FAIL token encryption — .* decrypts \d\d of \d\d stored tokens/,
    );
    const [, some, all] = /decrypts (\d+) of (\d+)/.exec(problem) ?? [];
    expect(some).toBe(all);
    expect(Number(all)).toBeLessThanOrEqual(64);
  });
});

test('with --session it says whose session a file or standard input holds, or why it is refused, and does not print it', async () => {
  const session = await cloud.issueSession({ unionId: 'alice', region: 'DE' });
  for (const part of session.split('.')) secrets.add(part);
  const accepted = await checkAsProcess({}, ['--session'], `${session}\n`);
  expect([accepted.code, accepted.problems]).toEqual([0, []]);
  expect(accepted.out).toMatch(/session +— accepted: account alice \(digest [\w-]{22}\), country DE, ends in \d+ s/);
  const refused = await check({ SESSION_JWT_AUDIENCE: 'other' }, ['--session', fileWith(session)]);
  expect(refused.problems).toEqual([
    expect.stringMatching(/^FAIL session aud — .*: must hold other\nTo fix it: .*SESSION_JWT_AUDIENCE/),
    expect.stringMatching(/^FAIL session — refused with session_invalid: The session's claim aud has a wrong value\n/),
  ]);
});

test('reports each problem of the configuration in a line, and still checks the valid parts', async () => {
  const invalid = { PORT: 'http', SESSION_JWT_ISSUER: '', TOKEN_ENCRYPTION_KEYS: canary('key') };
  const { out, problems } = await check(invalid);
  expect(problems).toEqual([
    expect.stringMatching(/^FAIL configuration — PORT must be .*, not "http"\nTo fix it: /),
    expect.stringMatching(/^FAIL configuration — TOKEN_ENCRYPTION_KEYS must be /),
    expect.stringMatching(/^FAIL configuration — SESSION_JWT_ISSUER is required/),
  ]);
  expect(out).toMatch(/signature accepted/);
  expect(out).not.toMatch(/session keys|Redis/);
});

test('refuses a short admin token, and names the callers of the internal API without their tokens', async () => {
  const [short, ops, cloud] = ['canary-9', canary('ops-token'), canary('cloud-token')];
  secrets.add(short);
  const refused = await check({ ADMIN_TOKEN: short });
  expect(refused.code).toBe(1);
  expect(refused.problems[0]).toMatch(/^FAIL configuration — ADMIN_TOKEN must be at least 16 characters/);
  expect((await check({ ADMIN_TOKENS: `ops:${ops},cloud:${cloud}` })).out).toMatch(/callers: default, ops, cloud\n/);
});

test('warns of settings that are allowed but risky, without a failure', async () => {
  const { REDIS_URL: _, ...rest } = await validEnv();
  await expectProblems(
    { ...rest, REDIS_URL: '' },
    /^warn Redis — REDIS_URL is not set: this process alone keeps the tokens/,
  );
});

test('warns of a header of the session that nginx removes', async () => {
  const cloud = await answering((response) => response.writeHead(401).end());
  const forward = { SESSION_MODE: 'forward', SESSION_FORWARD_URL: cloud };
  await expectProblems(
    { ...forward, SESSION_FORWARD_HEADERS: 'access_token,x-id' },
    /^warn session headers — nginx removes .*: access_token\nTo fix it: .*underscores_in_headers on/,
  );
  await expectProblems({ ...forward, SESSION_FORWARD_HEADERS: 'x-id' });
});

test('warns of a real vendor without https or NODE_ENV=production', async () => {
  await expectProblems(
    { NODE_ENV: '', VENDOR_REGION_URLS: '{"CN":"http://vendor.invalid"}' },
    /^warn environment — NODE_ENV is not production/,
    /^warn environment — the broker sends the appToken unencrypted to vendor\.invalid\n/,
    /^FAIL vendor vendor\.invalid — DNS has no address for the host of vendor\.invalid/,
  );
});

describe('Redis', () => {
  test('that is down', async () => {
    await expectProblems(
      { REDIS_URL: `redis://127.0.0.1:${await freePort()}` },
      /^FAIL Redis — nothing listens at .*ECONNREFUSED\)\nTo fix it: .*REDIS_URL/,
    );
  });

  test('with a password: without it, with a wrong one, with the right one', async () => {
    const password = canary('password');
    const { url, port } = await ownRedis('--requirepass', password);
    const withPassword = (given: string) => ({ REDIS_URL: `redis://:${given}@127.0.0.1:${port}` });
    await expectProblems({ REDIS_URL: url }, /^FAIL Redis — it requires another user or password/);
    await expectProblems(
      withPassword(canary('wrong')),
      /^FAIL Redis — it requires another user or password.*\nTo fix it: .*percent-encoded/,
    );
    const right = await check(withPassword(password));
    expect([right.problems, right.out]).toEqual([[], expect.stringContaining(`with a password`)]);
    await expectProblems(
      { REDIS_URL: redis.url.replace('://', `://:${password}@`) },
      /^warn Redis — .* without a password; .*lets everybody in.*\nTo fix it: .*requirepass/,
    );
  });

  test('that a restart would empty: without an append-only file and snapshots', async () => {
    const off = ['--appendonly', 'no'];
    await expectProblems(
      { REDIS_URL: (await ownRedis(...off)).url },
      /^warn Redis persistence — neither .* loses erasures.*\nTo fix it: .*appendonly yes/,
    );
    await expectProblems({ REDIS_URL: (await ownRedis(...off, '--save', '3600 1')).url });
  });

  test('that is a replica, writable or not', async () => {
    for (const readOnly of ['yes', 'no']) {
      const replica = ['--replicaof', '127.0.0.1', `${redis.port}`, '--replica-read-only', readOnly];
      await expectProblems(
        { REDIS_URL: (await ownRedis(...replica)).url },
        /^FAIL Redis scripts — it is a replica.*\nTo fix it: .*the primary/,
      );
    }
  });

  test('with a user that lacks permissions, and with the permissions that the fix names', async () => {
    const { url: REDIS_URL, allow } = await redisWithUser();
    const checkWith = async (...rules: string[]) => {
      await allow(...rules);
      return (await check({ REDIS_URL })).problems;
    };
    const failing = (why: string) => [expect.stringMatching(`^FAIL Redis scripts — .*${why}\nTo fix it: Allow them, `)];
    expect(await checkWith('~other:*', '&*', '+@all')).toEqual(failing('\\(NOPERM\\)'));
    expect(await checkWith('~*', '&other:*', '+@all')).toEqual(failing('\\(NOPERM\\)'));
    const [problem] = await checkWith('~*', '&*', '+@all', '-set');
    expect([problem]).toEqual(failing('commands of the broker: SET'));
    expect(await checkWith('~*', '&*', '+@all', '-publish', '-subscribe')).toEqual(failing(': PUBLISH, SUBSCRIBE'));
    const rules = problem?.split('ACL SETUSER … ')[1]?.split(' ') ?? [];
    expect(await checkWith(...rules)).toEqual([]);
  });

  test('with TLS on one side only', async () => {
    const { port } = await listening(createTlsServer({}));
    const urls = [`redis://127.0.0.1:${port}`, redis.url.replace('redis:', 'rediss:')];
    for (const REDIS_URL of urls) {
      await expectProblems({ REDIS_URL }, /^FAIL Redis — .*\nTo fix it: (?!.*https).*TLS/);
    }
  });

  test.each(['allkeys-lru', 'volatile-lru'])('that evicts keys (%s) would forget erasures', async (policy) => {
    const { url } = await ownRedis('--maxmemory-policy', policy, '--maxmemory', '100mb');
    await expectProblems(
      { REDIS_URL: url },
      `^FAIL Redis memory — maxmemory-policy ${policy} lets Redis evict erasures.* sessions from before.*\nTo fix it: .*noeviction`,
    );
  });

  test('that would evict keys, but has no limit of memory, causes a warning', async () => {
    const { url } = await ownRedis('--maxmemory-policy', 'allkeys-lru');
    await expectProblems({ REDIS_URL: url }, /^warn Redis memory — maxmemory-policy allkeys-lru lets Redis/);
  });

  test('of which the user cannot read the policy, and unencrypted tokens, cause warnings', async () => {
    const { url: REDIS_URL, allow } = await redisWithUser('--maxmemory-policy', 'allkeys-lru');
    await allow('~*', '&*', '+@all', '-info');
    await expectProblems(
      { REDIS_URL, TOKEN_ENCRYPTION_KEYS: 'off' },
      /^warn Redis memory — its policy is unknown/,
      /^warn token encryption — off/,
    );
  });

  test('that is a cluster which serves no slots, at either URL', async () => {
    const { url } = await ownRedis('--cluster-enabled', 'yes');
    for (const REDIS_URL of [url, url.replace('redis:', 'redis-cluster:')]) {
      const { problems } = await check({ REDIS_URL });
      expect(problems).toContainEqual(
        expect.stringMatching(
          /^FAIL Redis( scripts)? — the cluster is not ready.*\nTo fix it: .*redis-cli --cluster check/,
        ),
      );
    }
  });

  test('that lacks commands, in scripts or at all', async () => {
    const without = (...commands: string[]) => ownRedis(...commands.flatMap((name) => ['--rename-command', name, '']));
    for (const [{ url }, names] of [
      [await without('XADD', 'publish'), 'PUBLISH, XADD'],
      [await without('EVALSHA'), 'EVALSHA'],
      [await without('subscribe', 'TIME'), 'SUBSCRIBE, TIME'],
    ] as const) {
      await expectProblems({ REDIS_URL: url }, `^FAIL Redis scripts — it refuses commands of the broker: ${names}\n`);
    }
  });

  test('that is the only node of a cluster, at the URL of one Redis', async () => {
    const node = await startOneNode();
    await askRedis(node, (client) => client.config('SET', 'appendonly', 'yes'));
    const { url } = node;
    await expectProblems(
      { REDIS_URL: url },
      /^FAIL Redis scripts — .*must be in one slot\nTo fix it: .*redis-cluster:\/\/.*braces/,
    );
    await expectProblems({ REDIS_URL: url, REDIS_KEY_PREFIX: '{checked}' });
  });

  test.skipIf(!HAPROXY)('whose messages do not arrive, because a proxy divides the connections', async () => {
    const servers = [await ownRedis(), await ownRedis()];
    await expectProblems(
      { REDIS_URL: await startHaproxy(...servers) },
      /^FAIL Redis scripts — a message .* did not arrive.*\nTo fix it: /,
    );
  });

  test('without cluster mode, at the URL of a cluster', async () => {
    await expectProblems(
      { REDIS_URL: redis.url.replace('redis:', 'redis-cluster:') },
      /^FAIL Redis — it runs without cluster mode.*\nTo fix it: Use redis:\/\/ or rediss:\/\//,
    );
  });
});

test('a shared secret for sessions is not shown', async () => {
  const secret = canary('hmac-secret-of-any');
  const { out, problems } = await check({ SESSION_JWT_JWKS_URL: '', SESSION_JWT_SECRET: secret });
  expect([problems, out]).toEqual([[], expect.stringMatching(/session keys +— a shared secret for HS256/)]);
});

describe('the vendor', () => {
  test.each([
    [600_000, 'FAIL', /— (599|600|601) s ahead of this machine\nTo fix it: .*NTP/],
    [-60_000, 'warn', /— (59|60|61) s behind this machine\nTo fix it: .*NTP/],
  ])('has a clock that differs by %i ms: the broker signs by that clock', async (clockOffsetMs, level, expected) => {
    vendor.configure({ clockOffsetMs });
    onTestFinished(() => vendor.configure({ clockOffsetMs: 0 }));
    const { out, problems } = await check();
    expect(problems).toEqual([expect.stringMatching(new RegExp(`^${level} clock of `))]);
    expect(problems[0]).toMatch(expected);
    expect(out).toMatch(/signature accepted/);
  });

  test('is checked at every domain and for every app', async () => {
    const elsewhere = await startVendorSimulator({ apps: [{ ...APP, appId: 'app-of-another' }] });
    onTestFinished(() => elsewhere.close());
    const page = await answering((response) => response.end('<html>'));
    const apps = { ios: APP, android: { ...APP, appKey: canary('other-key') } };
    const one = { VENDOR_APP_ID: '', VENDOR_APP_TOKEN: '', VENDOR_APP_KEY: '' };
    const VENDOR_REGION_URLS = JSON.stringify({ CN: elsewhere.url, DE: page, FR: vendor.url });
    const { out, problems } = await check({ ...one, VENDOR_APPS: JSON.stringify(apps), VENDOR_REGION_URLS });
    expect(problems).toEqual([
      expect.stringMatching(`^FAIL app android at 127.0.0.1:${vendor.port} — .*10007`),
      expect.stringMatching(`^FAIL app ios at 127.0.0.1:${elsewhere.port} — .*10901052`),
      expect.stringMatching(`^FAIL app android at 127.0.0.1:${elsewhere.port} — .*10901052`),
      expect.stringMatching(`^FAIL vendor ${new URL(page).host} — .*does not answer with the vendor's protocol`),
    ]);
    expect(out).toMatch(new RegExp(`ok +app ios at 127.0.0.1:${vendor.port} +— signature accepted`));
  });

  test.each(['VENDOR_APP_KEY', 'VENDOR_APPS'])(
    'accepts a new value of %s by the command of docs/key-rotation.md, although the old one is in a file',
    async (name) => {
      const [, command = ''] =
        /^ {3}```sh\n([^`]*?< secrets\/[^`]*?) {3}```$/m.exec(readFile('docs/key-rotation.md')) ?? [];
      const script = command
        .replace(/kubectl .* -- \\\n/, '')
        .replace('NAME=VENDOR_APP_KEY', `NAME=${name}`)
        .replace('node dist/main.js', `'${process.execPath}' '${ENTRY}'`);
      const folder = newFolder();
      mkdirSync(join(folder, 'secrets'));
      const [wrongKey, file] = [canary('old-key'), join(folder, 'old')];
      const valueWith = (appKey: string) =>
        name === 'VENDOR_APPS' ? JSON.stringify({ ios: { ...APP, appKey } }, undefined, 2) : appKey;
      writeFileSync(file, valueWith(wrongKey));
      writeFileSync(join(folder, 'secrets', name), `${valueWith(APP.appKey)}\n`);
      const { VENDOR_APP_ID, VENDOR_APP_TOKEN, VENDOR_APP_KEY: _, ...others } = await validEnv();
      const app = name === 'VENDOR_APPS' ? {} : { VENDOR_APP_ID, VENDOR_APP_TOKEN };
      const env = { ...others, ...app, [`${name}_FILE`]: file, PATH: process.env['PATH'] };
      const child = spawn('sh', ['-c', script], { cwd: folder, env, stdio: 'pipe' });
      const [{ code }, out, err] = await Promise.all([exitOf(child), text(child.stdout), text(child.stderr)]);
      expect([code, err]).toEqual([0, '']);
      expect(out).toMatch(/ok +app (ios|default) at .* signature accepted/);
      expect(out).not.toContain(wrongKey);
    },
  );

  test('gets a real login with --login, and only then', async () => {
    const { out, problems } = await check({}, LOGIN);
    expect([problems, out]).toEqual([
      [],
      expect.stringMatching(/login default at .*— succeeded: accessId …\d{4}, a token for 720\.0 h\n/),
    ]);
    expect(vendor.loginsOf(LOGIN[2] ?? '', LOGIN[4] ?? '')).toBe(1);
    const wrong = await check({ VENDOR_APP_TOKEN: canary('wrong-token') }, LOGIN);
    expect(wrong.problems).toEqual([
      expect.stringMatching(/^FAIL login default .*\(10901050\)\nTo fix it: Correct its appId and appToken/),
    ]);
    vendor.configure({ fault: 'maintenance', faultCount: 1 });
    expect((await check({}, LOGIN)).problems).toEqual([
      expect.stringMatching(/takes no calls at this moment \(10901060\)\nTo fix it: Wait/),
    ]);
  });
});

test('ends within 15 s if nothing answers', { timeout: 15_000 }, async () => {
  const { port } = await listening(createServer((socket) => void socket.resume().on('error', () => undefined)));
  const silent = `127.0.0.1:${port}`;
  const unanswered = {
    VENDOR_BASE_URL: `http://${silent}`,
    VENDOR_TIMEOUT_MS: '60000',
    SESSION_JWT_JWKS_URL: `http://${silent}`,
    REDIS_URL: `redis://${silent}`,
  };
  const { problems } = await checkAsProcess(unanswered, [], '');
  expect(problems).toEqual([
    expect.stringMatching(/^FAIL Redis — .* did not answer in time\n/),
    expect.stringMatching(/^FAIL session keys — .* did not answer in time\n/),
    expect.stringMatching(/^FAIL vendor .* did not answer in time\n/),
  ]);
});

test('with --lang zh every line is in Chinese', async () => {
  const env = { ...(await validEnv()), ADMIN_HOST: '0.0.0.0' };
  const session = await cloud.issueSession({ unionId: 'alice', region: 'UK' });
  const args = ['--lang', 'zh', '--session', fileWith(session), ...LOGIN];
  const { code, out, err } = await outputOf(checkCommand, args, env);
  expect([code, err]).toEqual([1, '']);
  expect(out).toMatch(/^FAIL {2}会话 region +— UK：会话的声明 region 必须是 ISO 3166-1 .*\n {6}修正方法：/m);
  expect(out).toMatch(/ 登录 default +— 成功：accessId …\d{4}，令牌有效期 720.0 小时$/m);
  const lines = out.split('\n').filter((line) => line !== '');
  expect(lines.length).toBeGreaterThan(15);
  expect(lines.filter((line) => !/\p{Script=Han}/u.test(line))).toEqual([]);
});

test('explains a wrong command line, with exit code 2', async () => {
  const refused = { code: 2, out: '', err: expect.stringMatching(/--(nonsense|union-id|region|login)/) };
  for (const args of ['--nonsense', '--login', '--union-id a', '--login --union-id a --unique-id b --region de']) {
    expect(await outputOf(run, ['check', ...args.split(' ')], {})).toEqual(refused);
  }
});
