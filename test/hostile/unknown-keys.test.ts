import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';
import { plainRequest } from '../support/plain-request.ts';
import { json, recordingServer } from '../unit/session/recording-server.ts';

/** The first fetch succeeds. For as long after it an unknown key causes no fetch. */
const COOLDOWN_MS = 5_000;
const ATTACK_MS = 4_000;
const ATTACKERS = 10;
/** The attack sends more sessions than this, on a busy machine for longer. */
const LEAST_FORGED = 200;
/** The pause of each attacker leaves the test's own machine some CPU time. */
const PAUSE_MS = 20;

test('sessions with unknown keys cause few fetches and few log lines while the JWKS URL fails', async () => {
  const server = await recordingServer(json({ keys: [] }));
  const fleet = await startFleet({ replicas: 1, env: { SESSION_JWT_JWKS_URL: server.origin } });
  const { getToken, log, stop } = fleet.broker(0);
  server.answer = json(JSON.parse((await plainRequest(fleet.cloud.jwksUrl)).body));
  const known = await fleet.session('alice');
  expect((await getToken(known, 'phone')).status).toBe(200);

  await sleep(COOLDOWN_MS);
  server.answer = (_request, response) => response.writeHead(503).end();
  const [fetchesBefore, linesBefore] = [server.received.length, log().length];
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const forge = (kid: string) =>
    new SignJWT({ sub: 'mallory' }).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey);
  let until = 0;
  const statuses = new Map<number, number>();
  const count = (status: number) => statuses.set(status, (statuses.get(status) ?? 0) + 1);
  const forged = () => [...statuses.values()].reduce((sum, one) => sum + one, 0);
  const attack = async (_: unknown, attacker: number) => {
    for (let round = 0; Date.now() < until || forged() <= LEAST_FORGED; round += 1) {
      count((await getToken(await forge(`${attacker}-${round}`), 'phone')).status);
      await sleep(PAUSE_MS);
    }
  };
  await readDuring(fleet.broker(0), [known], () => {
    until = Date.now() + ATTACK_MS;
    return Promise.all(Array.from({ length: ATTACKERS }, attack));
  });
  const lines = log().slice(linesBefore);
  expect([...statuses.keys()].filter((status) => status !== 401 && status !== 503)).toEqual([]);
  expect(forged()).toBeGreaterThan(LEAST_FORGED);
  expect(server.received.length - fetchesBefore).toBeLessThanOrEqual(2);
  const lateSeconds = Math.floor((Date.now() - until) / 1_000);
  expect(lines.length).toBeLessThanOrEqual(10 + lateSeconds);
  // Every refused request is in a line of its own or in the count of one, the last ones at the end of the process.
  await stop();
  const told = log()
    .slice(linesBefore)
    .map((line) => JSON.parse(line))
    .filter(({ code }) => code === 'session_check_unavailable');
  const counted = told.reduce((sum, { omitted = 0 }) => sum + 1 + omitted, 0);
  expect(counted).toBe(statuses.get(503));
});
