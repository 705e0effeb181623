import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ASSIGNED_REGION_PATTERN } from '../../src/token/subject.ts';
import {
  type ExampleCloud,
  playDeletionDuringLookup,
  playLifeOfAnAccount,
  playOutageOfTheBroker,
} from './scripted-app.ts';

const FOLDER = fileURLToPath(new URL('../../examples/cloud-node', import.meta.url));
const CLOUD: ExampleCloud = { command: [process.execPath, `${FOLDER}/server.js`], startMs: 15_000 };

test(
  'examples/cloud-node serves an app from its registration to the deletion of the account',
  () => playLifeOfAnAccount(CLOUD),
  60_000,
);

test(
  'examples/cloud-node logs users in while it cannot reach the broker, and erases deleted accounts later',
  () => playOutageOfTheBroker(CLOUD),
  60_000,
);

test('examples/cloud-node has the versions of its packages that this project tests it with', () => {
  const dependenciesOf = (path: string) => JSON.parse(readFileSync(path, 'utf8')).dependencies;
  const tested = dependenciesOf(fileURLToPath(new URL('../../package.json', import.meta.url)));
  for (const [name, version] of Object.entries(dependenciesOf(`${FOLDER}/package.json`))) {
    expect([name, version]).toEqual([name, tested[name]]);
  }
});

test(
  'examples/cloud-node erases a deleted account again if a look-up has created it anew at the broker',
  () => playDeletionDuringLookup(CLOUD),
  60_000,
);

test('examples/cloud-node accepts the countries that the broker accepts', async () => {
  const { COUNTRIES } = await import(`${FOLDER}/countries.js`);
  const letters = Array.from({ length: 26 }, (_, number) => String.fromCharCode(65 + number));
  const codes = letters.flatMap((first) => letters.map((second) => first + second));
  expect(COUNTRIES).toEqual(codes.filter((code) => ASSIGNED_REGION_PATTERN.test(code)));
});
