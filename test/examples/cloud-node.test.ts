import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
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

test('examples/cloud-node accepts the countries that the broker accepts', async () => {
  const { COUNTRIES } = await import(`${FOLDER}/countries.js`);
  const letters = Array.from({ length: 26 }, (_, number) => String.fromCharCode(65 + number));
  const codes = letters.flatMap((first) => letters.map((second) => first + second));
  expect(COUNTRIES).toEqual(codes.filter((code) => ASSIGNED_REGION_PATTERN.test(code)));
});

test('examples/cloud-node erases one account after the other, and a deleted account without waiting for the others', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'example-cloud-'));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  const left = ['deleted-1', 'deleted-2', 'deleted-3', 'deleted-4', 'deleted-5'];
  writeFileSync(join(dataDir, 'accounts.json'), JSON.stringify({ accounts: [], toErase: left }));
  let open = 0;
  let openAtOnce = 0;
  const broker = createServer((request, response) => {
    const isLeft = left.some((unionId) => request.url?.endsWith(unionId));
    if (!isLeft) return response.writeHead(204).end();
    open += 1;
    openAtOnce = Math.max(openAtOnce, open);
    return response.once('close', () => {
      open -= 1;
    });
  });
  await once(broker.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    broker.closeAllConnections();
    broker.close();
  });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const BROKER_URL = `http://127.0.0.1:${(broker.address() as AddressInfo).port}`;
  const env = { PORT: String(port), DATA_DIR: dataDir, BROKER_TOKEN: 'token-of-the-internal-api', BROKER_URL };
  const program = startProgram(CLOUD.command, env);
  onTestFinished(async () => void (await program.stop()));
  const answers = async () => (await plainRequest(`${url}/.well-known/jwks.json`)).status === 200;
  await eventually(answers, { timeoutMs: CLOUD.startMs });
  await eventually(() => expect(openAtOnce).toBeGreaterThan(0), { timeoutMs: 15_000 });

  const body = JSON.stringify({ account: 'alice', password: 'correct horse', nickName: 'Alice', country: 'DE' });
  const headers = { 'content-type': 'application/json' };
  const registered = await plainRequest(`${url}/register`, { method: 'POST', headers, body });
  const authorization = `Bearer ${JSON.parse(registered.body).session}`;
  const deleted = plainRequest(`${url}/account`, { method: 'DELETE', headers: { authorization } });
  // The erasures that are left take 10 s each.
  const waited = new Promise((resolve) => setTimeout(resolve, 20_000, 'the request waited for other erasures'));
  expect(await Promise.race([deleted.then(({ status }) => status), waited])).toBe(204);
  // Three more loops would begin within this time. One that the cloud has just given up may still count as open.
  await new Promise((resolve) => setTimeout(resolve, 7_000));
  expect(openAtOnce).toBeLessThanOrEqual(2);
});
