import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { networkProblem } from '../../../src/commands/checks/check-result.ts';
import { checkSession, headersIn } from '../../../src/commands/checks/given-session.ts';
import { checkSessions } from '../../../src/commands/checks/sessions.ts';
import type { SessionOptions } from '../../../src/session/session-verifier.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { isChinese } from '../../support/chinese.ts';
import { freePort } from '../../support/free-port.ts';
import { AUDIENCE, CLAIM_NAMES, ISSUER, newSigner } from '../session/sessions.ts';

/** The address of a server that runs for the duration of the test. */
async function addressOf(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const answering = (listener: RequestListener) => async () => `http://${await addressOf(createServer(listener))}`;

async function untrusted(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'check-tls-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  execFileSync('openssl', [...args, '-subj', '/CN=127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return `https://${await addressOf(createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }))}`;
}

function inEachMode(url: URL): SessionOptions[] {
  const common = { claims: CLAIM_NAMES, cacheSeconds: 30 };
  return [
    { mode: 'jwt', key: { jwksUrl: url }, issuer: ISSUER, audience: AUDIENCE, ...common },
    { mode: 'introspection', url, clientId: 'broker', clientSecret: 'secret', audience: AUDIENCE, ...common },
    { mode: 'forward', url, ...common },
  ];
}

test.each<[string, () => Promise<string>]>([
  ['refuses the connection', async () => `http://127.0.0.1:${await freePort()}`],
  ['does not answer', answering(() => undefined)],
  ['closes the connection', async () => `http://${await addressOf(createTcpServer((socket) => socket.destroy()))}`],
  ['answers 401', answering((_request, response) => response.writeHead(401).end())],
  ['answers 500', answering((_request, response) => response.writeHead(500).end())],
  ['does not answer with JSON', answering((_request, response) => response.end('<html>'))],
  ['answers with other JSON', answering((_request, response) => response.end('{"active":"yes"}'))],
  ['has a certificate that is not trusted', untrusted],
  ['does not use TLS', async () => `https://${await addressOf(createServer())}`],
])('in Chinese, check has no English sentence about a session server that %s', async (_name, start) => {
  const url = new URL(await start());
  const session = await (await newSigner('ES256', 'k1')).sign();
  const forwarded = { headers: ['authorization'], cookies: 'all' } as const;
  const access = { clock: systemClock };
  const checks = inEachMode(url).map(async (options) => {
    const forwardedSession = options.mode === 'forward' ? forwarded : undefined;
    const settings = { forwardedSession, defaultRegion: undefined, apps: ['ios'] };
    const ofSession = await checkSession(options, settings, headersIn(session), access);
    expect(ofSession.at(-1)?.detail.zh).not.toMatch(/[a-z]{2,} [a-z]{2,}/);
    return [...(await checkSessions(options, access)), ...ofSession];
  });
  for (const result of (await Promise.all(checks)).flat()) {
    if (result.level === 'ok') continue;
    expect(isChinese(result.detail.zh), result.detail.zh).toBe(true);
    expect(isChinese(result.fix.zh), result.fix.zh).toBe(true);
  }
});

test.each(['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED'])('the fix of %s names the clock of this machine', (code) => {
  const { fix } = networkProblem(code, { address: 'https://cloud.example', setting: 'SESSION_FORWARD_URL' });
  expect(fix).toEqual({
    en: expect.stringContaining('clock of this machine'),
    zh: expect.stringContaining('本机时钟'),
  });
});
