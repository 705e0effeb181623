import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from '../../../src/simulator/http-server.ts';
import { storm } from '../../../tools/bench/src/scenarios/storm.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };

/** Four connections to a server that answers each second request with 500. */
async function connections() {
  let requests = 0;
  const server = await listen('127.0.0.1', 0, async (_request, response) => {
    requests += 1;
    response.writeHead(requests % 2 === 0 ? 500 : 200).end('{}');
  });
  const sockets = Array.from({ length: 4 }, () => connect({ host: '127.0.0.1', port: server.port }));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await server.close();
  });
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  return sockets;
}

test.each(['naive', 'async-cache-dedupe'] as const)(
  'a failed request of %s is counted, and the bench goes on',
  async (peer) => {
    const sockets = await connections();
    for (let round = 0; round < 2; round += 1)
      expect(await storm(peer, sockets, SUBJECT, 'session')).toEqual({ failed: 2, tookMs: expect.any(Number) });
  },
);

test('a failed request of the broker ends the bench', async () => {
  await expect(storm('broker', await connections(), SUBJECT, 'session')).rejects.toThrow(
    'Invalid run: a request was answered with HTTP/1.1 500',
  );
});
