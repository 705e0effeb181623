import { type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startBroker } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { NGINX, startNginx } from '../support/nginx.ts';
import { plainRequest } from '../support/plain-request.ts';

/** How long a load balancer takes to learn that a replica ends. */
const LEARNS_AFTER_MS = 700;
const CALLERS = 4;

/** A real nginx that keeps connections to the replicas. @param next `error`: it sends a request again */
async function startProxy(urls: readonly string[], next: string) {
  const port = await freePort();
  const to = (replicas: readonly string[]) => `
    upstream brokers { ${replicas.map((url) => `server ${new URL(url).host} fail_timeout=2s;`).join(' ')} keepalive 32; }
    server {
      listen 127.0.0.1:${port};
      location / { proxy_pass http://brokers; proxy_http_version 1.1; proxy_set_header Connection "";
        proxy_next_upstream ${next}; }
    }`;
  const reload = startNginx(to(urls));
  const url = `http://127.0.0.1:${port}`;
  await eventually(async () => (await plainRequest(`${url}/livez`)).status === 200);
  return { url, use: (replicas: readonly string[]) => reload(to(replicas)) };
}

test.skipIf(!NGINX).each([
  ['takes out the one that ends', true, 'off'],
  ['sends requests again, as nginx.conf says', false, 'error'],
])('two replicas are restarted behind nginx, which %s, and no request fails', async (_, learns, next) => {
  const fleet = await startFleet({ replicas: 2 });
  const replicas = [...fleet.brokers];
  const nginx = await startProxy(
    replicas.map(({ url }) => url),
    next,
  );
  const session = await fleet.session('alice');
  // On a new connection to nginx each time: a reload of nginx ends those that its callers keep.
  const read = () =>
    new Promise<number>((resolve, reject) => {
      const headers = { authorization: `Bearer ${session}` };
      const answered = (answer: IncomingMessage) => {
        answer.resume().once('end', () => resolve(answer.statusCode ?? 0));
      };
      request(`${nginx.url}/sdk-token?uniqueId=phone`, { agent: false, headers }, answered).once('error', reject).end();
    });
  let isOver = false;
  const statuses = new Map<number, number>();
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!isOver) {
      const status = await read();
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      await sleep(10);
    }
  });
  for (let restart = 0; restart < 2; restart += 1) {
    const [ending, other] = [replicas[restart], replicas[1 - restart]];
    if (!ending || !other) throw new Error('no replica');
    ending.signal('SIGTERM');
    await sleep(LEARNS_AFTER_MS);
    if (learns) nginx.use([other.url]);
    expect((await ending.exit).code).toBe(0);
    const started = await startBroker(fleet.env);
    replicas[restart] = started;
    nginx.use([started.url, other.url]);
    await sleep(500);
  }
  isOver = true;
  await Promise.all(callers);
  expect(Object.fromEntries(statuses)).toEqual({ 200: expect.any(Number) });
  expect(statuses.get(200)).toBeGreaterThan(500);
});
