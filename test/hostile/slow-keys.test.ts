import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';
import { plainRequest } from '../support/plain-request.ts';
import { json, recordingServer } from '../unit/session/recording-server.ts';

const ATTACK_MS = 4_000;
const ATTACKERS = 40;

test('forged sessions of a published RSA key with an exponent of 2,047 bits do not delay reads of known tokens', async () => {
  const {
    e = '',
    d = '',
    ...numbers
  } = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey.export({
    format: 'jwk',
  });
  const key = createPrivateKey({ key: { ...numbers, e: d, d: e, dp: e, dq: e }, format: 'jwk' });
  const slow = { ...createPublicKey(key).export({ format: 'jwk' }), kid: 'slow', alg: 'RS256' };
  const server = await recordingServer(json({ keys: [slow] }));
  const fleet = await startFleet({ replicas: 1, env: { SESSION_JWT_JWKS_URL: server.origin } });
  const { keys } = JSON.parse((await plainRequest(fleet.cloud.jwksUrl)).body);
  server.answer = json({ keys: [slow, ...keys] });
  const broker = fleet.broker(0);
  const [known, own] = [await fleet.session('alice'), await fleet.session('mallory')];
  expect((await broker.getToken(known, 'phone')).status).toBe(200);

  const claims = JSON.parse(Buffer.from(own.split('.')[1] ?? '', 'base64url').toString());
  const genuine = await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'slow' }).sign(key);
  expect((await broker.getToken(genuine, 'phone')).status).toBe(200);
  const forged = genuine.slice(0, -20) + 'A'.repeat(20);
  await readDuring(broker, [known], async () => {
    const end = performance.now() + ATTACK_MS;
    const attack = async () => {
      while (performance.now() < end) expect((await broker.getToken(forged, 'phone')).status).toBe(401);
    };
    await Promise.all(Array.from({ length: ATTACKERS }, attack));
  });
});
