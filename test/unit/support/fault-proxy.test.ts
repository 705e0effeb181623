import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';

it('a stalled link delivers later what was sent meanwhile, also if the sender has gone', async () => {
  let received = '';
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (piece) => {
      received += piece;
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await startFaultProxy((server.address() as AddressInfo).port);
  onTestFinished(async () => {
    await proxy.close();
    server.close();
  });
  const client = connect(proxy.port, '127.0.0.1');
  client.write('before ');
  await eventually(() => received === 'before ');
  proxy.set({ kind: 'stall' });
  client.end('during');
  await sleep(100);
  expect(received).toBe('before ');
  proxy.set({ kind: 'none' });
  await eventually(() => received === 'before during');
});
