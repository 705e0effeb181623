import { expect, it, onTestFinished } from 'vitest';
import { plainRequest } from '../../../support/plain-request.ts';
import { sendRaw } from '../../../support/raw-connection.ts';
import { startInternalApp } from '../running-internal-app.ts';

it('the metrics are collected once for the callers of one turn of the event loop', async () => {
  let collected = 0;
  const metrics = async () => ({ contentType: 'text/plain', body: `${++collected}` });
  const { origin } = await startInternalApp({ metrics });
  const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const callers = await Promise.all(Array.from({ length: 20 }, () => sendRaw(origin, request('/livez'))));
  for (const { socket } of callers) onTestFinished(() => void socket.destroy());
  await Promise.all(callers.map(({ received }) => expect.poll(received).toContain('"ok"')));
  for (const { socket } of callers) socket.write(request('/metrics'));
  await Promise.all(callers.map(({ received }) => expect.poll(received).toMatch(/text\/plain.*\r\n\d+$/s)));
  const shared = collected;
  expect(shared).toBeLessThan(10);
  expect((await plainRequest(`${origin}/metrics`)).body).toBe(`${shared + 1}`);
});
