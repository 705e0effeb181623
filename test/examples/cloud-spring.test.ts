import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, test } from 'vitest';
import {
  type ExampleCloud,
  playDeletionDuringLookup,
  playLifeOfAnAccount,
  playOutageOfTheBroker,
  startWithoutKey,
} from './scripted-app.ts';

const FOLDER = fileURLToPath(new URL('../../examples/cloud-spring', import.meta.url));
const CLOUD: ExampleCloud = { command: ['java', '-jar', `${FOLDER}/target/cloud-spring.jar`], startMs: 120_000 };
/** The first build downloads the packages. */
const BUILD_MS = 600_000;

beforeAll(() => {
  execFileSync('mvn', ['-q', '-B', 'package'], { cwd: FOLDER, stdio: 'inherit', timeout: BUILD_MS });
}, BUILD_MS);

test(
  'examples/cloud-spring serves an app from its registration to the deletion of the account',
  () => playLifeOfAnAccount(CLOUD),
  400_000,
);

test(
  'examples/cloud-spring logs users in while it cannot reach the broker, and erases deleted accounts later',
  () => playOutageOfTheBroker(CLOUD),
  400_000,
);

test(
  'examples/cloud-spring erases a deleted account again if a look-up has created it anew at the broker',
  () => playDeletionDuringLookup(CLOUD),
  400_000,
);

test(
  'examples/cloud-spring names a key file that it cannot use, and what is wrong with it',
  () => startWithoutKey(CLOUD, 'session-key.json'),
  400_000,
);
