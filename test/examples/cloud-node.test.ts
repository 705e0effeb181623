import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, inject, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { createSessionVerifier } from '../../src/session/session-verifier.ts';
import { startVendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { systemClock } from '../../src/token/clock.ts';
import { ASSIGNED_REGION_PATTERN } from '../../src/token/subject.ts';
import { SILENCE } from '../support/broker-parts.ts';
import { startBrokerService } from '../support/broker-service.ts';
import { startProgram } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { plainRequest } from '../support/plain-request.ts';
import { silentObserver } from '../support/silent-observer.ts';

const FOLDER = fileURLToPath(new URL('../../examples/cloud-node', import.meta.url));
const START = { timeoutMs: 15_000 };
const BROKER_TOKEN = 'internal-token-of-the-example-cloud';
const PHONE = 'phone-of-alice';
const ALICE = { account: 'alice@example.com', password: 'correct horse', nickName: 'Alice', country: 'DE' };
const BOB = { account: 'bob@example.com', password: 'battery staple', nickName: 'Bob', country: 'FR' };
const SDK_FIELDS = ['accessId', 'accessToken', 'expireTime', 'terminalId', 'expend'];

type Json = Record<string, unknown>;

function newDataDir(): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'example-cloud-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  return dataDir;
}

/** Starts the program of the cloud, until the test ends. */
function startServer(port: number, dataDir: string, brokerUrl: string) {
  const env = { PORT: String(port), DATA_DIR: dataDir, BROKER_TOKEN, BROKER_URL: brokerUrl };
  const program = startProgram([process.execPath, `${FOLDER}/server.js`], env);
  onTestFinished(async () => void (await program.stop()));
  return program;
}

/** A cloud that runs. It can be started again, with the same port and the same data. */
async function startCloud(port: number, brokerUrl: string, dataDir = newDataDir()) {
  const url = `http://127.0.0.1:${port}`;
  const programs: ReturnType<typeof startServer>[] = [];
  const start = async (broker: string) => {
    const program = startServer(port, dataDir, broker);
    programs.push(program);
    const answers = async () => (await plainRequest(`${url}/.well-known/jwks.json`)).status === 200;
    await eventually(answers, START).catch((error: unknown) => {
      throw new Error(`the cloud did not start: ${error}\n${program.log().join('\n')}`);
    });
  };
  await start(brokerUrl);
  return {
    url,
    log: () => programs.flatMap((program) => program.log()).join('\n'),
    restart: async (broker: string) => {
      await programs.at(-1)?.stop();
      await start(broker);
    },
    cloud: (method: string, path: string, session?: string, body?: Json) => ask(method, url + path, session, body),
  };
}

async function ask(method: string, target: string, session?: string, body?: Json, more: Record<string, string> = {}) {
  const headers = {
    ...(session !== undefined && { authorization: `Bearer ${session}` }),
    ...(body && { 'content-type': 'application/json' }),
    ...more,
  };
  const answer = await plainRequest(target, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  return { ...answer, body: (answer.body === '' ? {} : JSON.parse(answer.body)) as Json };
}

/**
 * Starts the cloud with a broker and a simulated vendor.
 * @param reachesBroker whether the cloud reaches the broker before its first restart
 */
async function startAll(reachesBroker: boolean) {
  const vendor = await startVendorSimulator();
  onTestFinished(() => vendor.close());
  const port = await freePort();
  const broker = await startBrokerService({
    ...vendor.brokerEnvironment,
    REDIS_URL: inject('redisUrl'),
    REDIS_KEY_PREFIX: `example-${port}`,
    ADMIN_TOKEN: BROKER_TOKEN,
    SESSION_JWT_JWKS_URL: `http://127.0.0.1:${port}/.well-known/jwks.json`,
    SESSION_JWT_ISSUER: 'https://accounts.example',
    SESSION_JWT_AUDIENCE: 'sdk-token-broker',
  });
  onTestFinished(() => broker.stop().then(() => undefined));
  const nobodyListens = `http://127.0.0.1:${await freePort()}`;
  const started = await startCloud(port, reachesBroker ? broker.adminUrl : nobodyListens);
  return {
    ...started,
    vendor,
    restart: () => started.restart(broker.adminUrl),
    raw: (path: string, session: string) => sendRaw(port, path, session),
    broker: (method: string, session: string, headers?: Record<string, string>) =>
      ask(method, `${broker.url}/sdk-token?uniqueId=${PHONE}`, session, undefined, headers),
  };
}

/** Starts the cloud with a broker that this test plays. */
async function startWithPlayedBroker(playBroker: RequestListener, dataDir?: string) {
  const broker = createServer(playBroker);
  await once(broker.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    broker.closeAllConnections();
    broker.close();
  });
  const { port } = broker.address() as AddressInfo;
  return startCloud(await freePort(), `http://127.0.0.1:${port}`, dataDir);
}

test('examples/cloud-node serves an app from its registration to the deletion of the account', async () => {
  const { vendor, cloud, raw, broker, restart, log, url } = await startAll(true);
  const logins = () => vendor.state().succeeded;

  // Registration. The answer holds the first SDK token already.
  const registered = await cloud('POST', '/register', undefined, { ...ALICE, uniqueId: PHONE });
  expect(registered).toMatchObject({ status: 201, body: { session: expect.any(String), expiresIn: 3_600 } });
  const { sdkToken, sdkTokenEtag } = registered.body as { sdkToken: Json; sdkTokenEtag: string };
  for (const field of SDK_FIELDS) expect(sdkToken[field]).toMatch(/./);
  expect((await cloud('POST', '/register', undefined, ALICE)).status).toBe(409);
  // The broker refuses a session with one of these countries.
  for (const country of ['UK', 'EU', 'de', undefined]) {
    const wrong = { ...ALICE, account: 'carol@example.com', country };
    expect((await cloud('POST', '/register', undefined, wrong)).status).toBe(400);
  }

  // Login. A wrong password and an unknown account get the same answer.
  const { account, password } = ALICE;
  const wrong = await cloud('POST', '/login', undefined, { account, password: 'wrong' });
  const unknown = await cloud('POST', '/login', undefined, { account: 'nobody@example.com', password });
  expect([wrong.status, wrong.body]).toEqual([401, unknown.body]);
  expect((await cloud('POST', '/login', undefined, { account })).status).toBe(400);
  const login = await cloud('POST', '/login', undefined, { account, password, uniqueId: PHONE });
  expect(login).toMatchObject({ status: 200, body: { sdkToken, sdkTokenEtag } });
  const session = String(login.body['session']);

  // The app can also ask the broker with this session. Nothing so far has cost a second login at the vendor.
  const direct = await broker('GET', session);
  expect(direct).toMatchObject({ status: 200, body: sdkToken, headers: { etag: sdkTokenEtag } });
  expect((await broker('GET', session, { 'if-none-match': sdkTokenEtag })).status).toBe(304);
  expect(logins()).toBe(1);

  // A broker in the mode `forward` accepts the same session: it asks the cloud.
  const forward = loadConfig({
    ...vendor.brokerEnvironment,
    SESSION_MODE: 'forward',
    SESSION_FORWARD_URL: `${url}/whoami`,
    SESSION_FORWARD_HEADERS: 'authorization',
  });
  const verifier = createSessionVerifier(forward.session, {
    maxBytes: 2 ** 20,
    clock: systemClock,
    observer: silentObserver,
    announcements: SILENCE,
  });
  const verified = await verifier.verify(JSON.stringify({ authorization: `Bearer ${session}` }));
  expect(verified).toMatchObject({ unionId: expect.any(String), region: ALICE.country });
  expect(Number(verified.expiresAt) - Number(verified.issuedAt)).toBe(3_600_000);

  // Bob has an account, but no phone with the app. Alice shares her camera with him.
  const bobs = await cloud('POST', '/register', undefined, BOB);
  expect(bobs.body).not.toHaveProperty('sdkToken');
  expect(logins()).toBe(1);
  const bySharing = `/share/account?account=${encodeURIComponent(BOB.account)}`;
  const bob = await cloud('GET', bySharing, session);
  expect(bob).toMatchObject({ status: 200, body: { accessId: expect.any(String), nickName: 'B***b' } });
  expect(logins()).toBe(2);
  const accessIds = [String(bob.body['accessId']), String(sdkToken['accessId']), 'unknown'];
  const people = await cloud('POST', '/share/accounts', session, { accessIds });
  const alice = { accessId: sdkToken['accessId'], nickName: 'A***e' };
  expect(people.status).toBe(200);
  expect(people.body).toEqual({ accounts: expect.arrayContaining([bob.body, alice]) });
  expect(people.body['accounts']).toHaveLength(2);

  // Strangers learn nothing, and nobody learns more than whether an account exists.
  for (const stranger of [undefined, 'no-session']) {
    const answers = await Promise.all([
      cloud('GET', bySharing, stranger),
      cloud('GET', '/share/account?account=nobody', stranger),
      cloud('POST', '/share/accounts', stranger, { accessIds }),
      cloud('POST', '/share/accounts', stranger, { accessIds: 'malformed' }),
      cloud('DELETE', '/account', stranger),
      cloud('GET', '/whoami', stranger),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(401));
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
  }
  const nobody = await cloud('GET', '/share/account?account=nobody', session);
  const unnamed = await cloud('GET', '/share/account', session);
  expect([nobody.status, nobody.body]).toEqual([404, unnamed.body]);
  for (const malformed of [[], [1], Array(51).fill('1'), 'x', ['x'.repeat(129)]]) {
    expect((await cloud('POST', '/share/accounts', session, { accessIds: malformed })).status).toBe(400);
  }

  // The key of the sessions survives a restart, and so do the accounts.
  await restart();
  expect((await cloud('GET', bySharing, session)).body).toEqual(bob.body);
  expect((await broker('GET', session)).status).toBe(200);

  // Logout, and the next login.
  expect((await broker('DELETE', session)).status).toBe(204);
  const again = await cloud('POST', '/login', undefined, { account, password, uniqueId: PHONE });
  expect((again.body['sdkToken'] as Json)['accessToken']).not.toBe(sdkToken['accessToken']);
  expect(logins()).toBe(3);

  // Deletion. The sessions from before it are refused by the broker and by the cloud, and nobody finds the account.
  const last = String(again.body['session']);
  expect((await cloud('DELETE', '/account', last)).status).toBe(204);
  for (const old of [session, last]) {
    expect(await broker('GET', old)).toMatchObject({ status: 401, body: { code: 'session_invalid' } });
    expect((await cloud('GET', bySharing, old)).status).toBe(401);
  }
  expect((await cloud('POST', '/login', undefined, { account, password })).status).toBe(401);
  const bobSession = String(bobs.body['session']);
  expect((await cloud('POST', '/share/accounts', bobSession, { accessIds })).body).toEqual({ accounts: [bob.body] });
  expect(logins()).toBe(3);

  // Look-ups are limited for each user.
  const statuses: number[] = [];
  for (let number = 0; number < 11; number += 1) {
    const answer = await cloud('GET', `/share/account?account=guess-${number}`, bobSession);
    statuses.push(answer.status);
    if (answer.status === 429) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  }
  expect(statuses.filter((status) => status === 404)).toHaveLength(9);
  expect(statuses.slice(9)).toEqual([429, 429]);

  // Also calls that do not exist, and malformed ones.
  for (const path of ['/share/accounts?account=', '/share/account%?account=', '/none?account="']) {
    await raw(`${path}guess-last`, bobSession);
  }
  expect(log()).not.toContain('guess-');
  for (const one of [ALICE, BOB]) {
    for (const personal of [one.account, encodeURIComponent(one.account), one.nickName, `"${one.country}"`]) {
      expect(log()).not.toContain(personal);
    }
  }

  const tokens = [sdkToken['accessToken'], session, last, BROKER_TOKEN, password];
  for (const secret of tokens) expect(log()).not.toContain(secret);
});

/** Sends a GET with a path that an HTTP client may refuse to send. */
async function sendRaw(port: number, path: string, session: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.end(`GET ${path} HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer ${session}\r\nConnection: close\r\n\r\n`);
  await text(socket);
}

test('examples/cloud-node has the versions of its packages that this project tests it with', () => {
  const dependenciesOf = (path: string) => JSON.parse(readFileSync(path, 'utf8')).dependencies;
  const tested = dependenciesOf(fileURLToPath(new URL('../../package.json', import.meta.url)));
  for (const [name, version] of Object.entries(dependenciesOf(`${FOLDER}/package.json`))) {
    expect([name, version]).toEqual([name, tested[name]]);
  }
});

test.each([
  ['', 'is empty'],
  ['{}', 'does not hold'],
])(
  'examples/cloud-node names a key file that it cannot use, and what is wrong with it: %j',
  async (content, problem) => {
    const dataDir = newDataDir();
    const path = join(dataDir, 'session-key.pem');
    writeFileSync(path, content);
    const program = startServer(await freePort(), dataDir, 'http://127.0.0.1:1');
    await eventually(() => program.log().join('\n').includes(`The key file ${path} ${problem}`), START);
  },
);

/**
 * The broker, which this test plays, answers the look-up during the erasure: it has created the account anew, so the
 * cloud must erase it once more.
 */
test('examples/cloud-node erases a deleted account again if a look-up has created it anew at the broker', async () => {
  const held: { readonly method: string | undefined; readonly response: ServerResponse }[] = [];
  let isHeld = true;
  let erasures = 0;
  const { cloud } = await startWithPlayedBroker(({ method }, response) => {
    if (method === 'DELETE') erasures += 1;
    if (isHeld) held.push({ method, response });
    else response.writeHead(204).end();
  });
  const register = async (person: Json) =>
    String((await cloud('POST', '/register', undefined, person)).body['session']);
  const heldOf = async (method: string) => {
    const arrived = () => held.filter((one) => one.method === method);
    await eventually(() => expect(arrived()).not.toEqual([]));
    return arrived();
  };
  const [alice, bob] = [await register(ALICE), await register(BOB)];
  const lookup = cloud('GET', `/share/account?account=${encodeURIComponent(BOB.account)}`, alice);
  const [asked] = await heldOf('PUT');
  const deleted = cloud('DELETE', '/account', bob);
  await heldOf('DELETE');
  // The look-up creates the account with its answer, so only an erasure that arrives later counts.
  const before = erasures;
  asked?.response.writeHead(200, { 'content-type': 'application/json' }).end('{"accessId":"1","region":"FR"}');
  await lookup;
  isHeld = false;
  for (const { response } of await heldOf('DELETE')) response.writeHead(204).end();
  expect((await deleted).status).toBe(204);
  await eventually(() => expect(erasures).toBeGreaterThan(before));
});

test('examples/cloud-node logs users in while it cannot reach the broker, and erases deleted accounts later', async () => {
  const { cloud, broker, restart } = await startAll(false);
  const registered = await cloud('POST', '/register', undefined, { ...ALICE, uniqueId: PHONE });
  expect(registered.status).toBe(201);
  expect(registered.body).not.toHaveProperty('sdkToken');
  const session = String(registered.body['session']);

  // The app asks the broker itself.
  expect((await broker('GET', session)).status).toBe(200);
  const share = await cloud('GET', `/share/account?account=${encodeURIComponent(ALICE.account)}`, session);
  expect(share.status).toBe(503);

  // The deletion is not lost, also not by a restart.
  expect((await cloud('DELETE', '/account', session)).status).toBe(204);
  expect((await cloud('GET', '/share/account?account=bob', session)).status).toBe(401);
  expect((await broker('GET', session)).status).toBe(200);
  await restart();
  const refused = async () => expect((await broker('GET', session)).status).toBe(401);
  await eventually(refused);
});

test('examples/cloud-node refuses names that look like a registered one', async () => {
  const { Accounts } = await import(`${FOLDER}/accounts.js`);
  const accounts = await Accounts.open(join(newDataDir(), 'accounts.json'));
  const bob = { account: 'bob@example.com', password: 'correct horse', nickName: 'Bob', country: 'DE' };
  expect(await accounts.create(bob)).toMatchObject({ account: bob.account });
  expect(await accounts.create({ ...bob, account: 'Bob@example.com' })).toBeUndefined();
  const { normalized } = await import(`${FOLDER}/../clouds/node/names.js`);
  for (const name of ['bob@example.com ', 'bo\u200Bb@example.com', 'b\u043Eb@example.com', '', undefined, ' ', 'a b']) {
    expect([name, normalized(name)]).toEqual([name, '']);
  }
  for (const name of ['bob@example.com', '+4915112345678', '\u5F20\u4E09', 'j\u00F6rg']) {
    expect(normalized(name)).toBe(name);
  }
});

test('examples/cloud-node accepts the countries that the broker accepts', async () => {
  const { COUNTRIES } = await import(`${FOLDER}/countries.js`);
  const letters = Array.from({ length: 26 }, (_, number) => String.fromCharCode(65 + number));
  const codes = letters.flatMap((first) => letters.map((second) => first + second));
  expect(COUNTRIES).toEqual(codes.filter((code) => ASSIGNED_REGION_PATTERN.test(code)));
});

test('examples/cloud-node gives no session to a login whose account is deleted meanwhile', async () => {
  const held: ServerResponse[] = [];
  const { cloud } = await startWithPlayedBroker(({ method }, response) => {
    if (method === 'GET') held.push(response);
    else response.writeHead(204).end();
  });
  const session = String((await cloud('POST', '/register', undefined, ALICE)).body['session']);
  const login = cloud('POST', '/login', undefined, { ...ALICE, uniqueId: 'my-phone' });
  // The cloud has checked the password, and waits for the first token.
  await eventually(() => expect(held).toHaveLength(1));
  expect(await cloud('DELETE', '/account', session)).toMatchObject({ status: 204 });
  held[0]?.writeHead(200, { 'content-type': 'application/json' }).end('{"accessId":"1"}');
  expect(await login).toMatchObject({ status: 401 });
});

test('examples/cloud-node erases one account after the other, and a deleted account without waiting for the others', async () => {
  const dataDir = newDataDir();
  const left = ['deleted-1', 'deleted-2', 'deleted-3', 'deleted-4', 'deleted-5'];
  writeFileSync(join(dataDir, 'accounts.json'), JSON.stringify({ accounts: [], toErase: left }));
  let open = 0;
  let openAtOnce = 0;
  const { cloud } = await startWithPlayedBroker((request, response) => {
    const isLeft = left.some((unionId) => request.url?.endsWith(unionId));
    if (!isLeft) return void response.writeHead(204).end();
    open += 1;
    openAtOnce = Math.max(openAtOnce, open);
    response.once('close', () => {
      open -= 1;
    });
  }, dataDir);
  await eventually(() => expect(openAtOnce).toBeGreaterThan(0));

  const session = String((await cloud('POST', '/register', undefined, ALICE)).body['session']);
  const deleted = cloud('DELETE', '/account', session);
  // The erasures that are left take 10 s each.
  const waited = new Promise((resolve) => setTimeout(resolve, 20_000, 'the request waited for other erasures'));
  expect(await Promise.race([deleted.then(({ status }) => status), waited])).toBe(204);
  // Three more loops would begin within this time. One that the cloud has just given up may still count as open.
  await new Promise((resolve) => setTimeout(resolve, 7_000));
  expect(openAtOnce).toBeLessThanOrEqual(2);
});
