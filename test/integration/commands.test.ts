import { spawn } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { startVendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { end, exitOf, linesOf } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { accessTokenOf, startFleet } from '../support/fleet.ts';
import { plainRequest } from '../support/plain-request.ts';
import { startRedis } from '../support/redis-server.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SESSION_ENV = { SESSION_JWT_SECRET: 's'.repeat(32), SESSION_JWT_ISSUER: 'issuer', SESSION_JWT_AUDIENCE: 'us' };
const STACK_TRACE = /^\s+at .+:\d+/m;
const COMMANDS = ['serve', 'demo', 'simulate-vendor', 'check', 'digest', 'rekey', 'sign', 'openapi'];
const APP = { appId: 'app-1', appToken: 'token-of-app-1', appKey: 'key-of-app-1' };
const VENDOR_ENV = { VENDOR_APP_ID: APP.appId, VENDOR_APP_TOKEN: APP.appToken, VENDOR_APP_KEY: APP.appKey };

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return spawn(process.execPath, [`${ROOT}dist/main.js`, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: 'pipe',
  });
}

/** Runs a command until it exits. */
async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = start(args, env);
  const [{ code }, out, err] = await Promise.all([exitOf(child), text(child.stdout), text(child.stderr)]);
  expect(out + err).not.toMatch(STACK_TRACE);
  return { code, out, err };
}

/** Parses a curl line like a POSIX shell, and sends the request without curl. */
function sendAsCurl(line: string) {
  const words = line.match(/(?:'[^']*'|\\'|[^\s'\\])+/g)?.map((word) => word.replace(/'([^']*)'|\\(')/g, '$1$2')) ?? [];
  const valuesOf = (flag: string) => words.filter((_, at) => words[at - 1] === flag);
  const headers = Object.fromEntries(valuesOf('-H').map((header) => header.split(/: (.*)/s, 2)));
  const url = words.find((word) => word.startsWith('http')) ?? '';
  const [body] = valuesOf('--data-binary');
  return plainRequest(url, body === undefined ? { headers } : { method: 'POST', headers, body });
}

/** Starts the demo as a process and waits until its output matches. */
async function startDemo(expected: RegExp) {
  const child = start(['demo']);
  const exit = exitOf(child);
  onTestFinished(async () => void (await end(child, exit, 5_000)));
  const lines = linesOf(child, 1_000);
  const shown = () => lines().join('\n');
  await eventually(() => expect(shown()).toMatch(expected), { timeoutMs: 20_000 });
  const interrupt = async () => {
    child.kill('SIGINT');
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(shown()).not.toMatch(STACK_TRACE);
  };
  return { shown, interrupt };
}

test('a wrong command line lists the commands, with exit code 2', async () => {
  const unknown = await run(['serv']);
  expect(unknown).toMatchObject({ code: 2, out: '' });
  for (const command of COMMANDS) expect(unknown.err).toContain(command);
  for (const line of ['serve --port 1', 'sign --nonsense', 'demo extra']) {
    expect(await run(line.split(' '))).toMatchObject({ code: 2, out: '', err: expect.stringMatching(/\S/) });
  }
});

test('--help lists the commands, --version prints the version', async () => {
  const help = await run(['--help']);
  expect(help).toMatchObject({ code: 0, err: '' });
  for (const command of COMMANDS) {
    expect(help.out).toMatch(new RegExp(`^  ${command} +\\S`, 'm'));
    expect(await run([command, '--help'])).toMatchObject({ code: 0, err: '', out: expect.stringContaining(command) });
  }
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  expect(await run(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
});

test('serve names every setting that is missing', async () => {
  const { code, err } = await run(['serve']);
  expect(code).toBe(1);
  const problems = err.split('\n').filter((line) => line.startsWith('  - '));
  expect(
    problems.map((line) =>
      line
        .split(/ is |: /)[0]
        ?.match(/[A-Z]+_[A-Z_]+/g)
        ?.join(),
    ),
  ).toEqual([
    ...['VENDOR_BASE_URL', 'VENDOR_APP_ID', 'VENDOR_APP_TOKEN', 'VENDOR_APP_KEY'],
    ...['SESSION_JWT_ISSUER', 'SESSION_JWT_AUDIENCE'],
    'SESSION_JWT_JWKS_URL,SESSION_JWT_PUBLIC_KEY,SESSION_JWT_SECRET',
  ]);
});

test.each(['PORT', 'ADMIN_PORT'])('serve reports that its %s is in use, and names the settings', async (name) => {
  const taken = await startVendorSimulator();
  onTestFinished(() => taken.close());
  const ports = { PORT: '0', ADMIN_PORT: '0', [name]: `${taken.port}` };
  const addresses = { VENDOR_BASE_URL: taken.url, HOST: '127.0.0.1', ...ports };
  const { code, err } = await run([], { ...VENDOR_ENV, ...SESSION_ENV, ...addresses });
  expect(code).toBe(1);
  expect(err).toMatch(new RegExp(`address already in use.*:${taken.port}\\b`));
  expect(err).toMatch(name === 'PORT' ? /^HOST and PORT: / : /^ADMIN_HOST and ADMIN_PORT: /);
});

test.each(['HOST', 'ADMIN_HOST'])('serve reports that its %s is not an address of this machine', async (name) => {
  const addresses = { VENDOR_BASE_URL: 'http://127.0.0.1:9', HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0' };
  const { code, err } = await run([], { ...VENDOR_ENV, ...SESSION_ENV, ...addresses, [name]: '192.0.2.1' });
  expect(code).toBe(1);
  expect(err).toMatch(new RegExp(`^${name} and ${name.replace('HOST', 'PORT')}: .*EADDRNOTAVAIL`));
});

test('serve logs that it is ready only when /readyz says so: Redis has answered', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  await redis.kill();
  const fleet = await startFleet({ replicas: 1, until: '/livez', env: { REDIS_URL: redis.url } });
  onTestFinished(() => fleet.close());
  const { url, log } = fleet.broker(0);
  const isLogged = () => log().some((line) => line.includes('"msg":"ready"'));
  await eventually(() => log().some((line) => line.includes('Redis connection failed')));
  expect([(await plainRequest(`${url}/readyz`)).status, isLogged()]).toEqual([503, false]);
  await redis.restart();
  await eventually(isLogged, { timeoutMs: 10_000 });
  expect((await plainRequest(`${url}/readyz`)).status).toBe(200);
});

test('sign makes the signature that the vendor expects, and its curl line logs in', async () => {
  const vendor = await startVendorSimulator({ apps: [APP] });
  onTestFinished(() => vendor.close());
  const [unionId, uniqueId, regRegion] = [`o'brien "ü" $HOME \\`, `it's-a-phone`, 'DE'];
  const args = ['sign', '--union-id', unionId, '--unique-id', uniqueId, '--region', regRegion];
  const { code, out } = await run(args, { ...VENDOR_ENV, VENDOR_BASE_URL: vendor.url });
  expect([code, out.includes(APP.appKey)]).toEqual([0, false]);
  const [, signed, headers = '', curl = ''] = /:\n\n(.*?)\n\nHeaders:\n\n(.*?)\n\ncurl:\n\n(.*)\n$/s.exec(out) ?? [];
  expect(JSON.parse((await sendAsCurl(curl)).body)).toMatchObject({ code: 0 });
  expect(vendor.loginsOf(unionId, uniqueId)).toBe(1);

  const header = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(headers)?.[1];
  const { appKey, ...identity } = APP;
  const body = JSON.stringify({ action: 'thirdCustLogin', ...identity, uniqueId, unionId, regRegion });
  const lines = [
    `Host:127.0.0.1:${vendor.port}`,
    `Payload:${createHash('sha256').update(body).digest('hex')}`,
    `X-IotVideo-AccessID:${APP.appId}`,
    ...['X-IotVideo-Nonce', 'X-IotVideo-Timestamp'].map((name) => `${name}:${header(name)}`),
  ];
  expect(signed?.split('\n')).toEqual(lines);
  const hmac = createHmac('sha1', appKey).update(lines.join('\n'));
  expect(header('X-IotVideo-Signature')).toBe(hmac.digest('base64'));
});

test.each([
  ['openapi', [], 'openapi.json'],
  ['openapi --internal', ['--internal'], 'internal.json'],
])('%s prints the committed document', async (_command, flags, file) => {
  const out = readFileSync(`${ROOT}openapi/${file}`, 'utf8');
  expect(await run(['openapi', ...flags])).toEqual({ code: 0, out, err: '' });
});

test('demo shows a renewal, ends with a curl line that works, and stops on Ctrl-C, also if its port is in use', async () => {
  const other = createServer().listen(8080, '127.0.0.1');
  onTestFinished(() => void other.close());
  // If another process uses the port, that is fine too.
  await once(other, 'listening').catch(() => undefined);
  const { shown, interrupt } = await startDemo(/^curl /m);
  expect(shown()).toMatch(/renewed \d+\.\d s before the first token expires; no app had to ask/);
  const [, renewed, first] = /accessToken +(\w{8})…\w{4} +was (\w{8})…\w{4}/.exec(shown()) ?? [];
  expect(renewed).not.toBe(first);
  const curl = /^curl .*$/m.exec(shown())?.[0] ?? '';
  expect(curl).not.toContain(':8080/');
  const answer = await sendAsCurl(curl);
  expect(answer.status).toBe(200);
  expect(accessTokenOf(answer).slice(0, 8)).toBe(renewed);
  const [address = ''] = /http:\S+\/console/.exec(shown()) ?? [];
  const page = await plainRequest(address);
  expect([page.status, page.body.includes('data-demo')]).toEqual([200, true]);
  await interrupt();
});

test('demo stops on Ctrl-C before it has shown everything', async () => {
  await (await startDemo(/Broker → vendor/)).interrupt();
});
