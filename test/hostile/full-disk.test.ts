import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { expect, test } from 'vitest';
import { exitOf } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { plainRequest } from '../support/plain-request.ts';

const ENTRY = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** Each leaves a line of about 180 bytes. 1 MiB of them waits for the disk. */
const MANY = 8_000;

test.skipIf(process.platform !== 'linux').each(['a pipe', 'the same disk'])(
  'a log on a full disk keeps no replica from starting, serving and ending; standard error is on %s and says so once',
  async (place) => {
    const full = openSync('/dev/full', 'w');
    const fleet = await startFleet({ replicas: 0 });
    const [port, adminPort] = [await freePort(), await freePort()];
    const child = spawn(process.execPath, [ENTRY, 'serve'], {
      env: { ...fleet.env, HOST: '127.0.0.1', PORT: `${port}`, ADMIN_PORT: `${adminPort}`, LOG_LEVEL: 'debug' },
      stdio: ['ignore', full, place === 'a pipe' ? 'pipe' : full],
    });
    const exit = exitOf(child);
    let stderr = '';
    child.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    const url = `http://127.0.0.1:${port}`;
    await eventually(async () => (await plainRequest(`${url}/readyz`)).status === 200, { timeoutMs: 60_000 });
    const headers = { authorization: `Bearer ${await fleet.session('alice')}` };
    expect((await plainRequest(`${url}/sdk-token?uniqueId=phone`, { headers })).status).toBe(200);
    const lost = async () => {
      const { body } = await plainRequest(`http://127.0.0.1:${adminPort}/metrics`);
      return Number(/^sdk_token_broker_log_lines_lost_total (\d+)$/m.exec(body)?.[1]);
    };
    expect(await lost()).toBe(0);
    // The full disk is noticed by the first line, so only one of the two needs as many as get lost.
    if (place === 'a pipe') {
      // A few connections that stay open cost less.
      const pool = new Pool(url, { connections: 20 });
      const ask = async () => (await pool.request({ method: 'GET', path: '/livez' })).body.dump();
      await Promise.all(Array.from({ length: MANY }, ask));
      await pool.close();
      expect(await lost()).toBeGreaterThan(0);
      expect(await lost()).toBeLessThan(MANY / 2);
    }
    expect((await plainRequest(`${url}/sdk-token?uniqueId=phone`, { headers })).status).toBe(200);
    child.kill('SIGTERM');
    expect((await exit).code).toBe(0);
    if (place === 'a pipe') expect(stderr.match(/The log cannot be written/g)).toHaveLength(1);
  },
);
