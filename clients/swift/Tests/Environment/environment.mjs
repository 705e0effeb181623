// Starts what the tests of a client need, and ends when its standard input ends: the vendor simulator with a customer
// cloud, the broker, and a proxy in front of the broker that plays the network. Prints the addresses as one line of JSON.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createSocketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';

const [, , entry] = process.argv;
const children = [];

async function freePort() {
  const server = createSocketServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts `dist/main.js` and returns the lines of its output. */
function startCommand(args, env = {}) {
  const child = spawn(process.execPath, [entry, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  child.once('exit', (code) => stop(`${args[0]} ended with ${code}`));
  return createInterface({ input: child.stdout });
}

async function startSimulators() {
  const settings = { SESSION_JWT_ALGORITHMS: 'ES256' };
  const urls = [];
  for await (const line of startCommand(['simulate-vendor', '--port', '0', '--customer-cloud-port', '0'])) {
    const [, name, value] = /([A-Z_]+)=(\S+)/.exec(line) ?? [];
    if (name) settings[name] = value;
    const [, url] = /^\S.* (http:\S+)$/.exec(line) ?? [];
    if (url) urls.push(url);
    if (name === 'SESSION_JWT_AUDIENCE') break;
  }
  const [vendor, cloud] = urls;
  return { vendor, cloud, settings };
}

async function startBroker(settings) {
  const [port, adminPort] = [await freePort(), await freePort()];
  const broker = `http://127.0.0.1:${port}`;
  startCommand(['serve'], {
    ...settings,
    HOST: '127.0.0.1',
    PORT: port,
    ADMIN_PORT: adminPort,
    ADMIN_TOKEN: 'token-of-the-internal-api',
    LOG_LEVEL: 'fatal',
  });
  for (;;) {
    const answer = await fetch(`${broker}/readyz`).catch(() => undefined);
    if (answer?.ok) return { broker, internalApi: `http://127.0.0.1:${adminPort}` };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// The state of the proxy. `answers` come first, one for each request; then the mode decides.
let mode = 'forward';
let answers = [];
let requests = [];
let abandoned = 0;
let portalVisits = 0;
let refusedCertificates = 0;

/** JSON that never ends. The pauses give a busy client the time to end the request. */
function endless(response) {
  response.writeHead(200, { 'content-type': 'application/json' });
  const chunk = Buffer.alloc(16_384, ' ');
  const timer = setInterval(() => response.writableNeedDrain || response.write(chunk), 1);
  response.once('close', () => {
    clearInterval(timer);
    abandoned++;
  });
}

async function play(request, response) {
  if (mode === 'gone') return request.socket.destroy();
  const seen = { method: request.method, url: request.url, headers: request.headers, body: await text(request) };
  requests.push(seen);
  response.once('finish', () => {
    seen.status = response.statusCode;
  });
  const answer = answers.shift() ?? { portal, page, hang: { status: 0 } }[mode];
  if (mode === 'endless') return endless(response);
  if (answer?.status === 0) return response.once('close', () => abandoned++);
  if (answer) return response.writeHead(answer.status, answer.headers).end(answer.body);
  const { method, url, headers } = request;
  const upstream = httpRequest(new URL(url, broker), { method, headers, agent: false }, (forwarded) => {
    response.writeHead(forwarded.statusCode, forwarded.headers);
    forwarded.pipe(response);
  });
  upstream.on('error', () => response.destroy()).end();
}

function listen(server) {
  server.on('connection', (socket) => mode === 'gone' && socket.destroy());
  return once(server.listen(0, '127.0.0.1'), 'listening').then(() => server.address().port);
}

const control = createServer(async (request, response) => {
  switch (request.url) {
    case '/set':
      ({ mode = 'forward', answers = [] } = JSON.parse(await text(request)));
      [requests, abandoned, portalVisits, refusedCertificates] = [[], 0, 0, 0];
      return response.end();
    case '/seen':
      return response.end(JSON.stringify({ requests, abandoned, portalVisits, refusedCertificates }));
    default:
      portalVisits++;
      return response.setHeader('content-type', 'text/html').end('<h1>Welcome to our Wi-Fi</h1>');
  }
});

function certificate() {
  const folder = mkdtempSync(join(tmpdir(), 'client-tests-'));
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, '-keyout', keyFile, '-out', certFile],
    { stdio: 'ignore' },
  );
  process.once('exit', () => rmSync(folder, { recursive: true }));
  return { certFile, key: readFileSync(keyFile), cert: readFileSync(certFile) };
}

function stop(reason) {
  if (reason) process.stderr.write(`${reason}\n`);
  for (const child of children) child.kill('SIGKILL');
  process.exit(reason ? 1 : 0);
}
process.stdin.resume().on('end', () => stop());

const { vendor, cloud, settings } = await startSimulators();
const { broker, internalApi } = await startBroker(settings);
const controlUrl = `http://127.0.0.1:${await listen(control)}`;
const page = { status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Welcome to our Wi-Fi</h1>' };
const portal = { status: 302, headers: { location: `${controlUrl}/portal` }, body: '' };
const proxy = `http://127.0.0.1:${await listen(createServer(play))}`;
const { certFile, ...pair } = certificate();
const tlsServer = createTlsServer(pair, play);
tlsServer.on('tlsClientError', ({ code }) => code === 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA' && refusedCertificates++);
const tls = `https://localhost:${await listen(tlsServer)}`;
process.stdout.write(
  `${JSON.stringify({ vendor, cloud, broker, internalApi, proxy, tls, control: controlUrl, certFile })}\n`,
);
