import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { ASSIGNED_REGION_PATTERN } from '../../src/token/subject.ts';
import { startProgram } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { plainRequest } from '../support/plain-request.ts';
import {
  type ExampleCloud,
  playDeletionDuringLookup,
  playLifeOfAnAccount,
  playOutageOfTheBroker,
  startWithoutKey,
} from './scripted-app.ts';

const FOLDER = fileURLToPath(new URL('../../examples/cloud-node', import.meta.url));
const CLOUD: ExampleCloud = { command: [process.execPath, `${FOLDER}/server.js`], startMs: 15_000 };

test('examples/cloud-node serves an app from its registration to the deletion of the account', () =>
  playLifeOfAnAccount(CLOUD));

test('examples/cloud-node logs users in while it cannot reach the broker, and erases deleted accounts later', () =>
  playOutageOfTheBroker(CLOUD));

test('examples/cloud-node names a key file that it cannot use, and what is wrong with it', () =>
  startWithoutKey(CLOUD, 'session-key.pem'));

test('examples/cloud-node has the versions of its packages that this project tests it with', () => {
  const dependenciesOf = (path: string) => JSON.parse(readFileSync(path, 'utf8')).dependencies;
  const tested = dependenciesOf(fileURLToPath(new URL('../../package.json', import.meta.url)));
  for (const [name, version] of Object.entries(dependenciesOf(`${FOLDER}/package.json`))) {
    expect([name, version]).toEqual([name, tested[name]]);
  }
});

test('examples/cloud-node erases a deleted account again if a look-up has created it anew at the broker', () =>
  playDeletionDuringLookup(CLOUD));

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

/**
 * Starts the cloud with a broker that this test plays, until the test ends. Returns the cloud's answer to a request.
 */
async function startCloud(dataDir: string, playBroker: RequestListener) {
  const broker = createServer(playBroker);
  await once(broker.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    broker.closeAllConnections();
    broker.close();
  });
  const port = await freePort();
  const BROKER_URL = `http://127.0.0.1:${(broker.address() as AddressInfo).port}`;
  const env = { PORT: String(port), DATA_DIR: dataDir, BROKER_TOKEN: 'token-of-the-internal-api', BROKER_URL };
  const program = startProgram(CLOUD.command, env);
  onTestFinished(async () => void (await program.stop()));
  const ask = (method: string, path: string, session?: string, body?: object) =>
    plainRequest(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: {
        ...(session !== undefined && { authorization: `Bearer ${session}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
  const answers = async () => (await ask('GET', '/.well-known/jwks.json')).status === 200;
  await eventually(answers, { timeoutMs: CLOUD.startMs });
  return ask;
}

function newDataDir(): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'example-cloud-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  return dataDir;
}

const ALICE = { account: 'alice', password: 'correct horse', nickName: 'Alice', country: 'DE' };

test('examples/cloud-node gives no session to a login whose account is deleted meanwhile', async () => {
  const held: ServerResponse[] = [];
  const ask = await startCloud(newDataDir(), ({ method }, response) => {
    if (method === 'GET') held.push(response);
    else response.writeHead(204).end();
  });
  const { session } = JSON.parse((await ask('POST', '/register', undefined, ALICE)).body);
  const login = ask('POST', '/login', undefined, { ...ALICE, uniqueId: 'my-phone' });
  // The cloud has checked the password, and waits for the first token.
  await eventually(() => expect(held).toHaveLength(1));
  expect(await ask('DELETE', '/account', session)).toMatchObject({ status: 204 });
  held[0]?.writeHead(200, { 'content-type': 'application/json' }).end('{"accessId":"1"}');
  expect(await login).toMatchObject({ status: 401 });
});

test('examples/cloud-node erases one account after the other, and a deleted account without waiting for the others', async () => {
  const dataDir = newDataDir();
  const left = ['deleted-1', 'deleted-2', 'deleted-3', 'deleted-4', 'deleted-5'];
  writeFileSync(join(dataDir, 'accounts.json'), JSON.stringify({ accounts: [], toErase: left }));
  let open = 0;
  let openAtOnce = 0;
  const ask = await startCloud(dataDir, (request, response) => {
    const isLeft = left.some((unionId) => request.url?.endsWith(unionId));
    if (!isLeft) return void response.writeHead(204).end();
    open += 1;
    openAtOnce = Math.max(openAtOnce, open);
    response.once('close', () => {
      open -= 1;
    });
  });
  await eventually(() => expect(openAtOnce).toBeGreaterThan(0));

  const { session } = JSON.parse((await ask('POST', '/register', undefined, ALICE)).body);
  const deleted = ask('DELETE', '/account', session);
  // The erasures that are left take 10 s each.
  const waited = new Promise((resolve) => setTimeout(resolve, 20_000, 'the request waited for other erasures'));
  expect(await Promise.race([deleted.then(({ status }) => status), waited])).toBe(204);
  // Three more loops would begin within this time. One that the cloud has just given up may still count as open.
  await new Promise((resolve) => setTimeout(resolve, 7_000));
  expect(openAtOnce).toBeLessThanOrEqual(2);
});
