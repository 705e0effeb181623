import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type BrokerProcess, startBroker } from '../support/broker-process.ts';
import { startCommand } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { listening } from '../support/listening.ts';
import type { PlainAnswer } from '../support/plain-request.ts';
import { keysMatching, redisClient } from '../support/redis-client.ts';
import { accessTokenOf } from '../support/served-token.ts';

const LOGINS = 10;

/**
 * A replica ends within 10 s. On a busy machine its last steps take longer, but not as long as the vendor's timeout of
 * these tests.
 */
const END_MS = 15_000;

/** The keys of the leases, each with its owner. */
async function leasesOf({ keyPrefix }: Fleet): Promise<string[]> {
  const redis = redisClient();
  const leases = await keysMatching(`${keyPrefix}:*:l:*`, redis);
  const owners = await Promise.all(leases.map((lease) => redis.get(lease)));
  redis.disconnect();
  return leases.map((lease, at) => `${lease} ${owners[at]}`);
}

/** Sends `GET /sdk-token` over a keep-alive connection. */
async function getTokenOver(agent: Agent, { url }: BrokerProcess, session: string): Promise<PlainAnswer> {
  const headers = { authorization: `Bearer ${session}` };
  const outgoing = request(`${url}/sdk-token?uniqueId=phone`, { agent, headers }).end();
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: await text(incoming) };
}

/** Opens a connection, and sends one request over it. The connection stays open. */
async function keptConnection({ url }: BrokerProcess): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  socket.write('GET /livez HTTP/1.1\r\nHost: broker\r\n\r\n');
  expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /);
  return socket;
}

/**
 * Sends a second request over a connection, without its end. The returned function sends the end. The server counts
 * the request as new when the end arrives.
 */
async function startedRequest(broker: BrokerProcess, path: string): Promise<() => Promise<string>> {
  const socket = await keptConnection(broker);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: broker\r\n`);
  return () => {
    socket.write('\r\n');
    return text(socket);
  };
}

/** Sends the signal. Returns the exit code, and the time until the process ended. */
async function endOf(broker: BrokerProcess, signal: NodeJS.Signals) {
  const startedAt = performance.now();
  broker.signal(signal);
  const { code } = await broker.exit;
  return { code, tookMs: performance.now() - startedAt };
}

/** Makes `dist/main.js` wait a second before it listens, and print a line when the wait begins. */
const SLOW_START =
  '--import=data:text/javascript,' +
  encodeURIComponent(`
    import { Server } from 'node:net';
    const { listen } = Server.prototype;
    Server.prototype.listen = function (...args) {
      process.stdout.write('soon listening\\n');
      setTimeout(() => listen.apply(this, args), 1_000);
      return this;
    };`);

/** Makes `dist/main.js` send itself a SIGHUP as soon as it listens for SIGTERM. It then still loads its code. */
const SIGHUP_WHILE_LOADING =
  '--import=data:text/javascript,' +
  encodeURIComponent(`
    process.on('newListener', (event) => {
      if (event === 'SIGTERM') setImmediate(() => console.error('SIGHUP', process.kill(process.pid, 'SIGHUP')));
    });`);

describe('a signal during the start', () => {
  const env = async (port: number | undefined) => ({
    VENDOR_BASE_URL: 'http://127.0.0.1:9',
    VENDOR_APP_ID: 'app',
    VENDOR_APP_TOKEN: 'token',
    VENDOR_APP_KEY: 'key',
    SESSION_JWT_SECRET: 'a-session-secret-of-32-characters-or-more',
    SESSION_JWT_ISSUER: 'issuer',
    SESSION_JWT_AUDIENCE: 'audience',
    HOST: '127.0.0.1',
    PORT: String(port ?? (await freePort())),
    ADMIN_PORT: '0',
    NODE_OPTIONS: SLOW_START,
  });

  test('ends the process with 0 after the start is complete', async () => {
    const { log, signal, ended } = startCommand(['serve'], await env(undefined));
    await eventually(() => log().includes('soon listening'));
    signal('SIGTERM');
    const { code, out } = await ended();
    expect(out).toContain('"msg":"closed"');
    expect(code).toBe(0);
  });

  test('opens no port, and ends the process with 0, if the start waits for a Redis that hangs', async () => {
    const hanging = createServer();
    const { port } = await listening(hanging);
    const redis = { REDIS_URL: `redis://127.0.0.1:${port}`, TOKEN_ENCRYPTION_KEYS: 'off' };
    const { signal, ended } = startCommand(['serve'], { ...(await env(undefined)), ...redis });
    const [socket] = (await once(hanging, 'connection')) as [Socket];
    socket.on('error', () => undefined);
    signal('SIGTERM');
    const { code, out } = await ended();
    expect(out).not.toContain('soon listening');
    expect(out).toContain('"msg":"closed"');
    expect(code).toBe(0);
  });

  test('SIGHUP does not end the process while it loads its code', async () => {
    const { log, signal, ended } = startCommand(['serve'], { ...(await env(0)), NODE_OPTIONS: SIGHUP_WHILE_LOADING });
    const hasEnded = ended();
    await Promise.race([hasEnded, eventually(() => log().join().includes('"msg":"ready"'))]);
    signal('SIGTERM');
    expect((await hasEnded).code).toBe(0);
    expect(log()).toContain('SIGHUP true');
    expect(log().join()).toContain('"msg":"ready"');
  });

  test('does not hide that the start fails: the process says why, and ends with 1', async () => {
    const { port } = await listening(createServer());
    const { log, signal, ended } = startCommand(['serve'], await env(port));
    await eventually(() => log().includes('soon listening'));
    signal('SIGINT');
    const { code, out } = await ended();
    expect(out).toMatch(new RegExp(`^HOST and PORT: .*address already in use.*:${port}\\b`, 'm'));
    expect(out).not.toMatch(/^\s+at .+:\d+/m);
    expect(code).toBe(1);
  });
});

describe('a replica that shuts down', () => {
  test('lets a running login end with its present attempt, and begins no other one', async () => {
    const fleet = await startFleet({ replicas: 1, env: { VENDOR_TIMEOUT_MS: '2000' } });
    fleet.vendor.configure({ fault: 'hang' });
    const read = fleet.broker(0).getToken(await fleet.session('alice'), 'phone');
    await expect.poll(() => fleet.vendor.state().requests, { timeout: 20_000 }).toBe(1);
    const { code } = await endOf(fleet.broker(0), 'SIGTERM');
    // The vendor's timeout, or the end of this replica: the app may ask again in both cases.
    expect([503, 504]).toContain((await read).status);
    expect(code).toBe(0);
    expect(fleet.vendor.state().requests).toBe(1);
  });

  test('answers requests in flight and those that a load balancer still sends', async () => {
    const fleet = await startFleet({ replicas: 2, vendor: { latencyMs: 800 }, env: { VENDOR_MAX_RPS: '0' } });
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const [ending, other] = [fleet.broker(0), fleet.broker(1)];
    const readiness = await startedRequest(ending, '/readyz');
    const late = await startedRequest(ending, '/sdk-token?uniqueId=phone');
    const sessions = await Promise.all(
      Array.from({ length: LOGINS }, (_, number) => fleet.session(`account-${number}`)),
    );
    const inFlight = sessions.map((session, number) =>
      number % 2 === 0 ? getTokenOver(agent, ending, session) : ending.getToken(session, 'phone'),
    );
    await expect.poll(() => fleet.vendor.state().requests, { timeout: 20_000 }).toBe(LOGINS);
    expect(await leasesOf(fleet)).toHaveLength(LOGINS);

    const end = endOf(ending, 'SIGTERM');
    await expect.poll(() => ending.log().join('\n')).toContain('"msg":"closing"');
    expect(await readiness()).toMatch(/^HTTP\/1\.1 503 [\s\S]*connection: close[\s\S]*shutting down/i);
    expect(await late()).toMatch(/^HTTP\/1\.1 401 [\s\S]*connection: close[\s\S]*"code":"session_missing"/i);
    const answers = await Promise.all(inFlight);
    expect(answers.map(({ status, headers }) => [status, headers.connection])).toEqual(
      Array(LOGINS).fill([200, 'close']),
    );
    const { code, tookMs } = await end;
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(END_MS);

    const elsewhere = await Promise.all(sessions.map((session) => other.getToken(session, 'phone')));
    expect(elsewhere.map(accessTokenOf)).toEqual(answers.map(accessTokenOf));
    expect(fleet.vendor.state()).toMatchObject({ requests: LOGINS, succeeded: LOGINS });
    expect(await leasesOf(fleet)).toEqual([]);
  });
});

// They wait for the same seconds.
describe.concurrent('a replica that shuts down during a login', () => {
  test('completes a renewal that a read has started and not waited for, so nobody repeats the login', async ({
    expect,
    onTestFinished,
  }) => {
    // The token is due after 6 of 100 s. The read gets the old token after 2 s, while the login takes 3 s.
    const env = { REFRESH_MODE: 'on-demand', REFRESH_AT: '0.06-0.06' };
    const fleet = await startFleet({ replicas: 2, vendor: { tokenLifetimeSeconds: 100, mode: 'replace' }, env });
    onTestFinished(() => fleet.close());
    const session = await fleet.session('alice');
    const [ending, other] = [fleet.broker(0), fleet.broker(1)];
    const first = accessTokenOf(await ending.getToken(session, 'phone'));
    fleet.vendor.configure({ latencyMs: 3_000 });
    await expect
      .poll(() => ending.getToken(session, 'phone').then(() => fleet.vendor.state().requests), {
        timeout: 10_000,
      })
      .toBe(2);
    const { code, tookMs } = await endOf(ending, 'SIGTERM');
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(END_MS);
    const renewed = accessTokenOf(await other.getToken(session, 'phone'));
    expect(renewed).not.toBe(first);
    expect(fleet.vendor.checkToken(renewed).live).toBe(true);
    expect(fleet.vendor.state()).toMatchObject({ requests: 2, succeeded: 2 });
    expect(await leasesOf(fleet)).toEqual([]);
  });

  test('during a renewal leaves no lease behind, so another replica can renew immediately', async ({
    expect,
    onTestFinished,
  }) => {
    // The token is due after 2 of 100 s. The vendor timeout is longer than the time that a shutdown may take.
    const env = { REFRESH_AT: '0.02-0.02', VENDOR_TIMEOUT_MS: '20000' };
    const fleet = await startFleet({ replicas: 1, vendor: { tokenLifetimeSeconds: 100 }, env });
    onTestFinished(() => fleet.close());
    const session = await fleet.session('alice');
    const first = accessTokenOf(await fleet.broker(0).getToken(session, 'phone'));
    fleet.vendor.configure({ fault: 'hang', faultCount: 1 });
    await expect.poll(() => fleet.vendor.state().requests, { timeout: 20_000 }).toBe(2);
    const held = await leasesOf(fleet);
    expect(held).toHaveLength(1);
    const other = await startBroker(fleet.env);
    onTestFinished(async () => void (await other.stop()));

    const { code, tookMs } = await endOf(fleet.broker(0), 'SIGTERM');
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(END_MS);
    // The other replica may renew already.
    expect(await leasesOf(fleet)).not.toContain(held[0]);
    await expect.poll(async () => accessTokenOf(await other.getToken(session, 'phone'))).not.toBe(first);
    expect(fleet.vendor.state()).toMatchObject({ requests: 3, succeeded: 2 });
  });
});
