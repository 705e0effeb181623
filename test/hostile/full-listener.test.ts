import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';
import { expectPrompt, isMeasured } from '../support/honest-reads.ts';
import { plainRequest } from '../support/plain-request.ts';
import { json, recordingServer } from '../unit/session/recording-server.ts';
import { delayedRequest, startFlood } from './flood.ts';

const ATTACK_MS = 8_000;
/** The public API takes half of its file descriptors: an eighth of its usual 4,096 connections. */
const FEW_DESCRIPTORS = 1_024;
const HELD = 540;
const PER_SECOND = 212;
const LIVEZ = 'GET /livez HTTP/1.1\r\nHost: broker\r\n\r\n';
const readWith = (session: string) =>
  `GET /sdk-token?uniqueId=phone HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer ${session}\r\n\r\n`;

/** Reads a known token over new connections, every 20 ms. @returns the statuses; 0 if the connection was closed */
async function readsDuring(url: string, session: string, delayMs: number) {
  const reads: Promise<number>[] = [];
  const durations: number[] = [];
  for (const end = performance.now() + ATTACK_MS; performance.now() < end; await sleep(20)) {
    const startedAt = performance.now();
    const read = delayedRequest(url, readWith(session), delayMs);
    reads.push(read);
    void read.then(() => durations.push(performance.now() - startedAt - delayMs));
  }
  const statuses = await Promise.all(reads);
  const failed = statuses.filter((status) => status !== 200).length;
  if (isMeasured) process.stdout.write(`${failed} of ${statuses.length} reads after ${delayMs} ms failed\n`);
  return { failed, durations };
}

test.each([150, 400])(
  'a full listener, and a new connection for an eighth of it every 0.3 s, close no caller that sends its request after %i ms',
  { timeout: 60_000 },
  async (delayMs) => {
    const fleet = await startFleet({ replicas: 1, descriptors: FEW_DESCRIPTORS });
    const [broker, session] = [fleet.broker(0), await fleet.session('honest')];
    await broker.getToken(session, 'phone');
    await startFlood(broker.url, { held: HELD, perSecond: PER_SECOND, request: () => LIVEZ });
    const { failed } = await readsDuring(broker.url, session, delayMs);
    expect(failed).toBe(0);
  },
);

test('2,200 connections that name unknown keys, while the JWKS URL hangs, close no known caller', {
  timeout: 60_000,
}, async () => {
  const server = await recordingServer(json({ keys: [] }));
  const fleet = await startFleet({ replicas: 1, descriptors: 4_096, env: { SESSION_JWT_JWKS_URL: server.origin } });
  server.answer = json(JSON.parse((await plainRequest(fleet.cloud.jwksUrl)).body));
  const [{ url, getToken }, session] = [fleet.broker(0), await fleet.session('honest')];
  expect((await getToken(session, 'phone')).status).toBe(200);
  server.answer = () => undefined;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const forged = `${part({ alg: 'ES256', kid: 'unknown' })}.${part({ sub: 'mallory' })}.${'A'.repeat(86)}`;
  await startFlood(url, { held: 2_200, perSecond: 750, request: () => readWith(forged) });
  const [{ failed, durations }, health] = await Promise.all([
    readsDuring(url, session, 0),
    Promise.all(
      Array.from({ length: 20 }, async (_, number) => {
        await sleep(number * 300);
        return delayedRequest(url, LIVEZ, 0);
      }),
    ),
  ]);
  expect(failed).toBe(0);
  expectPrompt(durations);
  expect(new Set(health)).toEqual(new Set([200]));
});
