import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { isMeasured } from '../support/honest-reads.ts';
import { plainRequest } from '../support/plain-request.ts';
import { sendRaw } from '../support/raw-connection.ts';

const CONNECTIONS = 300;
const BUNDLE = '/docs/swagger-ui-bundle.js';

/** Memory of all TCP sockets of this machine, on both ends, in MB. */
function tcpMemory(): number {
  const [, pages = '0'] = /^TCP: .* mem (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'latin1')) ?? [];
  return (Number(pages) * 4_096) / 1e6;
}

test.skipIf(process.platform !== 'linux')(
  '300 connections that do not read /docs hold little memory of the system, and not for long',
  { timeout: 60_000 },
  async () => {
    const fleet = await startFleet({ replicas: 1, env: { API_DOCS: 'true' } });
    const { url } = fleet.broker(0);
    const before = tcpMemory();
    const held = await Promise.all(Array.from({ length: CONNECTIONS }, () => sendRaw(url, '')));
    onTestFinished(() => {
      for (const { socket } of held) socket.destroy();
    });
    for (const { socket } of held) {
      socket.pause();
      socket.write(`GET ${BUNDLE} HTTP/1.1\r\nHost: broker\r\n\r\n`);
    }
    await sleep(3_000);
    const megabytes = tcpMemory() - before;
    if (isMeasured)
      process.stdout.write(`${CONNECTIONS} unread bundles hold ${megabytes.toFixed(0)} MB in the kernel\n`);
    expect(megabytes).toBeLessThan(40);
    await eventually(async () => expect((await plainRequest(url + BUNDLE)).status).toBe(200), { timeoutMs: 15_000 });
  },
);
