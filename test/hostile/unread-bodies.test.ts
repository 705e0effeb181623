import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { ADMIN_TOKEN } from '../support/internal-api.ts';
import { sendLateBody, sendRaw } from '../support/raw-connection.ts';

const CHUNK = `100000\r\n${'x'.repeat(2 ** 20)}\r\n`;
const SENT_BYTES = 256 * 2 ** 20;
/** More than a broker on a busy machine reads until it has answered and closes: 2 MiB in one turn of the event loop. */
const READ_BYTES = 64 * 2 ** 20;

/** All that a process has read, in bytes, also what it has thrown away. What the system buffers does not count. */
const readBy = (pid: number) => Number(/rchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({ replicas: 1, env: { ADMIN_TOKEN } });
  return () => fleet.close();
});

describe('a body without an end', () => {
  test.skipIf(!existsSync('/proc/self/io')).each([
    ['public', 'GET /livez', 200],
    ['public', 'GET /sdk-token?uniqueId=phone', 401],
    ['public', 'POST /unknown', 404],
    ['internal', 'POST /accounts/lookup', 401],
    ['internal', 'POST /accounts/lookup', 400],
  ] as const)('is not read to its end after the answer: of the %s API, %s (%i)', async (api, request, status) => {
    const { url, adminUrl, pid } = fleet.broker(0);
    const isRead = status === 400 ? `Authorization: Bearer ${ADMIN_TOKEN}\r\nContent-Type: application/json\r\n` : '';
    const head = `${request} HTTP/1.1\r\nHost: broker\r\n${isRead}Transfer-Encoding: chunked\r\n\r\n`;
    const { socket, received, ended } = await sendRaw(api === 'public' ? url : adminUrl, head);
    onTestFinished(() => void socket.destroy());
    const before = readBy(pid);
    const closed = ended(20_000);
    for (let isOpen = true; isOpen && socket.writable && socket.bytesWritten < SENT_BYTES; ) {
      const hasRoom = socket.write(CHUNK) || once(socket, 'drain').then(() => true);
      // The broker may close the connection during a write.
      isOpen = await Promise.race([hasRoom, closed.then(() => false)]).catch(() => false);
    }
    await closed;
    expect(received()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(readBy(pid) - before).toBeLessThan(READ_BYTES);
  });

  test('is answered, also if its caller is so busy with sending that it reads later', async () => {
    const head = `POST /accounts/lookup HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\n`;
    const type = 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
    const { socket, received, ended } = await sendRaw(fleet.broker(0).adminUrl, head + type);
    onTestFinished(() => void socket.destroy());
    socket.pause();
    for (let sent = 0; sent < SENT_BYTES / 4; sent += CHUNK.length) socket.write(CHUNK);
    setTimeout(() => socket.resume(), 100);
    await ended(20_000);
    expect(received()).toMatch(/^HTTP\/1\.1 400 /);
  });
});

test('a short body after the answer does not cost its caller the answer, also on a connection that closes', async () => {
  const head = 'POST /unknown HTTP/1.1\r\nHost: broker\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n';
  const { socket, received, ended } = await sendRaw(fleet.broker(0).url, head);
  onTestFinished(() => void socket.destroy());
  await expect.poll(received).toMatch(/^HTTP\/1\.1 404 /);
  await sendLateBody(socket);
  expect(socket.errored).toBe(null);
  await ended(20_000);
});
