import { describe, expect, it, onTestFinished } from 'vitest';
import { plainRequest } from '../../../support/plain-request.ts';
import { sendRaw } from '../../../support/raw-connection.ts';
import { recordingObserver } from '../../../support/recording-observer.ts';
import { startApp } from '../running-app.ts';
import { ADMIN_TOKEN, METRICS, startInternalApp } from '../running-internal-app.ts';

describe('/metrics', () => {
  it.each([ADMIN_TOKEN, undefined])(
    'needs no token on the internal API, with and without an admin token: %s',
    async (adminToken) => {
      const { origin } = await startInternalApp({ adminToken });
      const answer = await plainRequest(`${origin}/metrics`);
      expect(answer).toMatchObject({ status: 200, body: METRICS });
      expect(answer.headers).toMatchObject({
        'content-type': 'text/plain; version=0.0.4; charset=utf-8',
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      });
    },
  );

  it('is collected once for the callers of one turn of the event loop', async () => {
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

  it('does not exist on the public API', async () => {
    const { origin } = await startApp();
    const answer = await plainRequest(`${origin}/metrics`);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'not_found' });
  });

  it('is a problem if the metrics cannot be collected', async () => {
    const { origin } = await startInternalApp({ metrics: () => Promise.reject(new Error('canary')) });
    const answer = await plainRequest(`${origin}/metrics`);
    expect(answer.status).toBe(500);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'internal' });
    expect(answer.body).not.toContain('canary');
  });
});

it('the observer is told about rate-limited requests', async () => {
  const { observer, told } = recordingObserver();
  const { getToken } = await startApp({ readsPerMinute: 2, observer });
  const statuses = [];
  for (let time = 0; time < 4; time += 1) statuses.push((await getToken()).status);
  expect(statuses).toEqual([200, 200, 429, 429]);
  expect(told('rateLimited')).toEqual([['requests'], ['requests']]);
});
