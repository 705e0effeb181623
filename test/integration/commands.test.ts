import { spawn } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { run } from '../../src/commands/run.ts';
import { loadConfig } from '../../src/config/config.ts';
import { startService } from '../../src/service.ts';
import { startVendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { captureLog } from '../support/captured-log.ts';
import { exitOf, startCommand } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { plainRequest } from '../support/plain-request.ts';
import { startRedis } from '../support/redis-server.ts';
import { accessTokenOf } from '../support/served-token.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SESSION_ENV = { SESSION_JWT_SECRET: 's'.repeat(32), SESSION_JWT_ISSUER: 'issuer', SESSION_JWT_AUDIENCE: 'us' };
const STACK_TRACE = /^\s+at .+:\d+/m;
const COMMANDS = ['serve', 'demo', 'simulate-vendor', 'check', 'rekey', 'sign', 'openapi'];
const APP = { appId: 'app-1', appToken: 'token-of-app-1', appKey: 'key-of-app-1' };
const VENDOR_ENV = { VENDOR_APP_ID: APP.appId, VENDOR_APP_TOKEN: APP.appToken, VENDOR_APP_KEY: APP.appKey };

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return spawn(process.execPath, [`${ROOT}dist/main.js`, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: 'pipe',
  });
}

/** Runs the program until it exits. */
async function runProgram(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = start(args, env);
  const [{ code }, out, err] = await Promise.all([exitOf(child), text(child.stdout), text(child.stderr)]);
  expect(out + err).not.toMatch(STACK_TRACE);
  return { code, out, err };
}

/** Runs a command in this process, if it does not serve. */
async function runHere(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const lines = { out: '', err: '' };
  const to = (stream: 'out' | 'err') => (line: string) => {
    lines[stream] += `${line}\n`;
  };
  const code = await run(args, { env, version: '0', out: to('out'), err: to('err') });
  return { code, ...lines };
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
async function startDemo(expected: RegExp, ...flags: readonly string[]) {
  const { log, signal, exit, stop } = startCommand(['demo', ...flags]);
  onTestFinished(async () => void (await stop()));
  const shown = () => log().join('\n');
  await eventually(() => expect(shown()).toMatch(expected));
  const interrupt = async () => {
    signal('SIGINT');
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(shown()).not.toMatch(STACK_TRACE);
  };
  return { shown, interrupt };
}

test.runIf(process.platform === 'linux')('a command whose output is lost says why, and fails', async () => {
  const full = openSync('/dev/full', 'w');
  onTestFinished(() => closeSync(full));
  const child = spawn(process.execPath, [`${ROOT}dist/main.js`, 'openapi'], { stdio: ['ignore', full, 'pipe'] });
  const [{ code }, err] = await Promise.all([exitOf(child), text(child.stderr as Readable)]);
  expect([code, err]).toEqual([1, 'The output cannot be written (ENOSPC: no space left on device, write)\n']);
});

/** Makes the program throw once it listens for signals: from then on, Node.js does not print the error. */
const FAILING =
  '--import=data:text/javascript,' +
  encodeURIComponent(`
    process.on('newListener', (event) => {
      if (event === 'uncaughtException') setImmediate(() => { throw new Error('uncaught-canary'); });
    });`);

test('a command without a log prints an uncaught error with its place, and fails', async () => {
  const child = start(['simulate-vendor', '--port', '0'], { NODE_OPTIONS: FAILING });
  const [{ code }, err] = await Promise.all([exitOf(child), text(child.stderr)]);
  expect(err).toMatch(/^Error: uncaught-canary\n\s+at .+:\d+/m);
  expect(code).toBe(1);
});

test('a wrong command line lists the commands, with exit code 2', async () => {
  const unknown = await runHere(['serv']);
  expect(unknown).toMatchObject({ code: 2, out: '' });
  for (const command of COMMANDS) expect(unknown.err).toContain(command);
  const refused = { code: 2, out: '', err: expect.stringMatching(/\S/) };
  expect(await runProgram(['serve', '--port', '1'])).toMatchObject(refused);
  for (const line of ['sign --nonsense', 'sign --union-id a --unique-id ü --region DE', 'demo extra'])
    expect(await runHere(line.split(' '))).toMatchObject(refused);
});

test('--help lists the commands, --version prints the version', async () => {
  const help = await runHere(['--help']);
  expect(help).toMatchObject({ code: 0, err: '' });
  for (const command of COMMANDS) {
    expect(help.out).toMatch(new RegExp(`^  ${command} +\\S`, 'm'));
    const ofCommand = await runHere([command, '--help']);
    expect(ofCommand).toMatchObject({ code: 0, err: '', out: expect.stringContaining(command) });
  }
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  expect(await runProgram(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
});

test('serve names every setting that is missing', async () => {
  const { code, err } = await runProgram(['serve']);
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

const ANY_PORTS = { HOST: '127.0.0.1', PORT: '0', ADMIN_PORT: '0' };
const SERVE_ENV = { ...VENDOR_ENV, ...SESSION_ENV, VENDOR_BASE_URL: 'http://127.0.0.1:9', ...ANY_PORTS };

test('a start names the settings of an address that is in use, or not of this machine', async () => {
  const taken = await startVendorSimulator();
  onTestFinished(() => taken.close());
  const start = (env: object) => startService(loadConfig({ ...SERVE_ENV, ...env }), captureLog('info').logger, '0');
  const inUse = new RegExp(`^ADMIN_HOST and ADMIN_PORT: .*address already in use.*:${taken.port}\\b`);
  await expect(start({ ADMIN_PORT: `${taken.port}` })).rejects.toThrow(inUse);
  await expect(start({ HOST: '192.0.2.1' })).rejects.toThrow(/^HOST and PORT: .*EADDRNOTAVAIL/);
  await expect(start({ ADMIN_HOST: '192.0.2.1' })).rejects.toThrow(/^ADMIN_HOST and ADMIN_PORT: .*EADDRNOTAVAIL/);
});

test('serve logs that it is ready only when /readyz says so: Redis has answered', async () => {
  const redis = await startRedis();
  await redis.kill();
  const fleet = await startFleet({ replicas: 1, until: '/livez', env: { REDIS_URL: redis.url } });
  const { url, log } = fleet.broker(0);
  const isLogged = () => log().some((line) => line.includes('"msg":"ready"'));
  await eventually(() => log().some((line) => line.includes('Redis connection failed')));
  expect([(await plainRequest(`${url}/readyz`)).status, isLogged()]).toEqual([503, false]);
  await redis.restart();
  await eventually(isLogged);
  expect((await plainRequest(`${url}/readyz`)).status).toBe(200);
});

test('sign makes the signature that the vendor expects, and its curl line logs in', async () => {
  const vendor = await startVendorSimulator({ apps: [APP] });
  onTestFinished(() => vendor.close());
  const [unionId, uniqueId, regRegion] = [`o'brien "ü" $HOME \\`, `it's-a-phone`, 'DE'];
  const args = ['sign', '--union-id', unionId, '--unique-id', uniqueId, '--region', regRegion];
  const domains = { VENDOR_BASE_URL: 'http://127.0.0.1:9', VENDOR_REGION_URLS: JSON.stringify({ DE: vendor.url }) };
  const { code, out } = await runHere(args, { ...VENDOR_ENV, ...domains });
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

test('openapi prints the committed documents', async () => {
  const documentIn = (file: string) => readFileSync(`${ROOT}openapi/${file}`, 'utf8');
  expect(await runHere(['openapi'])).toEqual({ code: 0, out: documentIn('openapi.json'), err: '' });
  const internal = { code: 0, out: documentIn('internal.json'), err: '' };
  expect(await runHere(['openapi', '--internal'])).toEqual(internal);
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

test('demo --lang zh speaks Chinese, and stops on Ctrl-C before it has shown everything', async () => {
  const { shown, interrupt } = await startDemo(/Broker → 厂商/, '--lang', 'zh');
  await interrupt();
  const lines = shown().split('\n');
  expect(lines.filter((line) => /\b[A-Za-z]+ [a-z]+\b/.test(line))).toEqual([]);
  expect(lines).toContain('   已停止。');
});
