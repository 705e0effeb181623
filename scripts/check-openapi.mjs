// Fails if a document in openapi/ differs from the one that the code generates, in any byte.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function check(name, ...flags) {
  const kept = new URL(`../openapi/${name}`, import.meta.url);
  const command = ['openapi', ...flags];
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [main, ...command], {
    env: { PATH: process.env.PATH },
    maxBuffer: 32 * 1024 * 1024,
  });
  if (error || status !== 0) {
    fail(`"node dist/main.js ${command.join(' ')}" failed (${error?.message ?? status}).\n${stderr ?? ''}`);
  }
  if (!existsSync(kept) || !readFileSync(kept).equals(stdout)) {
    fail(`openapi/${name} differs from what the code generates. Run: npm run openapi`);
  }
}

check('openapi.json');
check('internal.json', '--internal');
