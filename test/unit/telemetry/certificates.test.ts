import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { Certificates } from '../../../src/telemetry/certificates.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { makeCertificate } from '../../support/tls.ts';

const DAY_MS = 86_400_000;

async function end(socket: TLSSocket): Promise<void> {
  socket.destroy();
  await once(socket, 'close');
}

test('the certificate of a server is remembered until a day after its last connection, of 100 servers at most', async () => {
  let passedMs = 0;
  const certificates = new Certificates({ ...systemClock, monotonic: () => systemClock.monotonic() + passedMs });
  onTestFinished(() => certificates.stop());
  const hosts = () => certificates.seen().map(({ host }) => host);
  const tell = (host: string, socket: unknown) =>
    channel('undici:client:connected').publish({ connectParams: { host }, socket });
  const { key, cert } = makeCertificate(5);
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => void socket.write('x'));
  onTestFinished(() => void server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  const sessions: Buffer[] = [];
  const open = async (session?: Buffer) => {
    const socket = connect({ port, host: '127.0.0.1', ca: readFileSync(cert), ...(session && { session }) });
    socket.on('session', (one) => sessions.push(one));
    onTestFinished(() => void socket.destroy());
    await once(socket, 'data');
    return socket;
  };
  const plain = connectTcp(port, '127.0.0.1');
  onTestFinished(() => void plain.destroy());
  tell('plain', plain);

  const first = await open();
  tell('server', first);
  await expect.poll(() => sessions).not.toEqual([]);
  await end(first);
  const resumed = await open(sessions.at(-1));
  expect(resumed.isSessionReused()).toBe(true);
  tell('server', resumed);
  passedMs = 2 * DAY_MS;
  expect(certificates.seen()).toEqual([{ host: 'server', endsAt: expect.closeTo(Date.now() + 5 * DAY_MS, -5) }]);
  await end(resumed);
  passedMs += DAY_MS - 60_000;
  expect(hosts()).toEqual(['server']);
  passedMs += 60_000;
  expect(hosts()).toEqual([]);

  const last = await open();
  last.setMaxListeners(200);
  for (let host = 0; host < 101; host += 1) tell(`${host}`, last);
  expect(hosts()).toHaveLength(100);
  expect(hosts()).not.toContain('0');
});
