// Fails when openapi/openapi.json is not what the code says, byte for byte.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const kept = new URL('../openapi/openapi.json', import.meta.url);

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

const { status, stdout, stderr, error } = spawnSync(process.execPath, [main, 'openapi'], {
  env: { PATH: process.env.PATH },
  maxBuffer: 32 * 1024 * 1024,
});
if (error || status !== 0) fail(`"node dist/main.js openapi" failed (${error?.message ?? status}).\n${stderr ?? ''}`);
if (!existsSync(kept) || !readFileSync(kept).equals(stdout)) {
  fail('openapi/openapi.json is not what the code says. To mend it: npm run openapi');
}
