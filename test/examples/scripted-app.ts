import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, inject, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { createSessionVerifier } from '../../src/session/session-verifier.ts';
import { startVendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { systemClock } from '../../src/token/clock.ts';
import { startBrokerService } from '../support/broker-service.ts';
import { type ChildProgram, startProgram } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { plainRequest } from '../support/plain-request.ts';
import { silentObserver } from '../support/silent-observer.ts';

const BROKER_TOKEN = 'internal-token-of-the-example-cloud';
const PHONE = 'phone-of-alice';
const ALICE = { account: 'alice@example.com', password: 'correct horse', nickName: 'Alice', country: 'DE' };
const BOB = { account: 'bob@example.com', password: 'battery staple', nickName: 'Bob', country: 'FR' };
const SDK_FIELDS = ['accessId', 'accessToken', 'expireTime', 'terminalId', 'expend'];

/** The command of an example cloud. */
export interface ExampleCloud {
  readonly command: readonly [program: string, ...args: string[]];
  /** How long its start may take. */
  readonly startMs: number;
}

type Json = Record<string, unknown>;

/**
 * Starts the cloud with a broker and a simulated vendor, until the test ends.
 * @param reachesBroker whether the cloud reaches the broker before its first restart
 */
async function startAll({ command, startMs }: ExampleCloud, reachesBroker: boolean) {
  const dataDir = mkdtempSync(join(tmpdir(), 'example-cloud-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  const vendor = await startVendorSimulator();
  onTestFinished(() => vendor.close());
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const broker = await startBrokerService({
    ...vendor.brokerEnvironment,
    REDIS_URL: inject('redisUrl'),
    REDIS_KEY_PREFIX: `example-${port}`,
    ADMIN_TOKEN: BROKER_TOKEN,
    SESSION_JWT_JWKS_URL: `${url}/.well-known/jwks.json`,
    SESSION_JWT_ISSUER: 'https://accounts.example',
    SESSION_JWT_AUDIENCE: 'sdk-token-broker',
  });
  onTestFinished(() => broker.stop().then(() => undefined));

  const nobodyListens = `http://127.0.0.1:${await freePort()}`;
  const env = { PORT: String(port), DATA_DIR: dataDir, BROKER_TOKEN };
  let cloud: ChildProgram | undefined;
  const start = async (brokerUrl: string): Promise<void> => {
    const program = startProgram(command, { ...env, BROKER_URL: brokerUrl });
    cloud = program;
    const answers = async () => (await plainRequest(`${url}/.well-known/jwks.json`)).status === 200;
    await eventually(answers, { timeoutMs: startMs }).catch((error: unknown) => {
      throw new Error(`the cloud did not start: ${error}\n${program.log().join('\n')}`);
    });
  };
  const stop = async () => void (await cloud?.stop());
  onTestFinished(stop);
  await start(reachesBroker ? broker.adminUrl : nobodyListens);

  const ask = async (
    method: string,
    target: string,
    session?: string,
    body?: Json,
    more: Record<string, string> = {},
  ) => {
    const headers = {
      ...(session !== undefined && { authorization: `Bearer ${session}` }),
      ...(body && { 'content-type': 'application/json' }),
      ...more,
    };
    const answer = await plainRequest(target, { method, headers, ...(body && { body: JSON.stringify(body) }) });
    return { ...answer, body: (answer.body === '' ? {} : JSON.parse(answer.body)) as Json };
  };
  return {
    vendor,
    whoAmI: `${url}/whoami`,
    log: () => cloud?.log().join('\n') ?? '',
    restart: async () => {
      await stop();
      await start(broker.adminUrl);
    },
    raw: (path: string, session: string) => sendRaw(port, path, session),
    cloud: (method: string, path: string, session?: string, body?: Json) => ask(method, url + path, session, body),
    broker: (method: string, session: string, headers?: Record<string, string>) =>
      ask(method, `${broker.url}/sdk-token?uniqueId=${PHONE}`, session, undefined, headers),
  };
}

/**
 * Starts the cloud with a key file that cannot be used, and expects that its output names the file and what is wrong.
 * @param keyFile its name in the data directory
 */
export async function startWithoutKey({ command, startMs }: ExampleCloud, keyFile: string): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'example-cloud-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  const path = join(dataDir, keyFile);
  for (const [content, problem] of [
    ['', 'is empty'],
    ['{}', 'does not hold'],
  ] as const) {
    writeFileSync(path, content);
    const env = { PORT: String(await freePort()), DATA_DIR: dataDir, BROKER_TOKEN, BROKER_URL: 'http://127.0.0.1:1' };
    const program = startProgram(command, env);
    onTestFinished(async () => void (await program.stop()));
    await eventually(() => program.log().join('\n').includes(`The key file ${path} ${problem}`), {
      timeoutMs: startMs,
    });
  }
}

/** Plays an app from the registration to the deletion of the account. */
export async function playLifeOfAnAccount(example: ExampleCloud): Promise<void> {
  const { vendor, cloud, raw, broker, restart, log, whoAmI } = await startAll(example, true);
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
    SESSION_FORWARD_URL: whoAmI,
    SESSION_FORWARD_HEADERS: 'authorization',
  });
  const verifier = createSessionVerifier(forward.session, {
    maxBytes: 2 ** 20,
    clock: systemClock,
    observer: silentObserver,
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
}

/** Sends a GET with a path that an HTTP client may refuse to send. */
async function sendRaw(port: number, path: string, session: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.end(`GET ${path} HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer ${session}\r\nConnection: close\r\n\r\n`);
  await text(socket);
}

/**
 * Plays a look-up of an account that is deleted at the same moment. The broker, which this test plays, answers the
 * look-up during the erasure: it has created the account anew, so the cloud must erase it once more.
 */
export async function playDeletionDuringLookup({ command, startMs }: ExampleCloud): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'example-cloud-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  const held: { readonly method: string | undefined; readonly response: ServerResponse }[] = [];
  let isHeld = true;
  let erasures = 0;
  const broker = createServer((request, response) => {
    if (request.method === 'DELETE') erasures += 1;
    if (isHeld) held.push({ method: request.method, response });
    else response.writeHead(204).end();
  });
  broker.listen(0, '127.0.0.1');
  await once(broker, 'listening');
  onTestFinished(() => {
    broker.closeAllConnections();
    broker.close();
  });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const brokerUrl = `http://127.0.0.1:${(broker.address() as AddressInfo).port}`;
  const env = { PORT: String(port), DATA_DIR: dataDir, BROKER_TOKEN, BROKER_URL: brokerUrl };
  const program = startProgram(command, env);
  onTestFinished(async () => void (await program.stop()));
  const answers = async () => (await plainRequest(`${url}/.well-known/jwks.json`)).status === 200;
  await eventually(answers, { timeoutMs: startMs });

  const register = async (person: Json): Promise<Record<string, string>> => {
    const body = JSON.stringify(person);
    const headers = { 'content-type': 'application/json' };
    const answer = await plainRequest(`${url}/register`, { method: 'POST', headers, body });
    return { authorization: `Bearer ${JSON.parse(answer.body).session}` };
  };
  const heldOf = async (method: string) => {
    const arrived = () => held.filter((one) => one.method === method);
    await eventually(() => expect(arrived()).not.toEqual([]));
    return arrived();
  };
  const [alice, bob] = [await register(ALICE), await register(BOB)];
  const lookup = plainRequest(`${url}/share/account?account=${encodeURIComponent(BOB.account)}`, { headers: alice });
  const [asked] = await heldOf('PUT');
  const deleted = plainRequest(`${url}/account`, { method: 'DELETE', headers: bob });
  await heldOf('DELETE');
  // The look-up creates the account with its answer, so only an erasure that arrives later counts.
  const before = erasures;
  asked?.response.writeHead(200, { 'content-type': 'application/json' }).end('{"accessId":"1","region":"FR"}');
  await lookup;
  isHeld = false;
  for (const { response } of await heldOf('DELETE')) response.writeHead(204).end();
  expect((await deleted).status).toBe(204);
  await eventually(() => expect(erasures).toBeGreaterThan(before));
}

/** Plays an app while the cloud cannot reach the broker, and after that. */
export async function playOutageOfTheBroker(example: ExampleCloud): Promise<void> {
  const { cloud, broker, restart } = await startAll(example, false);
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
}
