import type { RequestListener } from 'node:http';
import { beforeEach, describe, expect, it } from 'vitest';
import { createSessionVerifier, type SessionOptions } from '../../../src/session/session-verifier.ts';
import type { JwtKey } from '../../../src/session/verification-key.ts';
import { SILENCE } from '../../support/broker-parts.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { TestClock } from '../../support/test-clock.ts';
import { json, type RecordingServer, recordingServer } from './recording-server.ts';
import {
  ACCOUNT,
  AUDIENCE,
  CLAIM_NAMES,
  claimsWith,
  expectRefused,
  ISSUER,
  newSigner,
  SECRET,
  START_SECONDS,
  signWithSecret,
} from './sessions.ts';

const FORWARDED = JSON.stringify({ cookie: 'SID=session-of-somebody' });

let clock: TestClock;
let server: RecordingServer;

beforeEach(async () => {
  clock = new TestClock();
  server = await recordingServer(json({ active: true, sub: ACCOUNT }));
});

/** Creates the verifier of a replica. */
const create = (options: SessionOptions, observer = silentObserver) =>
  createSessionVerifier(options, { maxBytes: 2 ** 20, clock, observer, announcements: SILENCE });

function optionsFor(mode: 'introspection' | 'forward'): SessionOptions {
  const url = new URL('/sessions', server.origin);
  const options = { url, claims: CLAIM_NAMES, cacheSeconds: 30 };
  return mode === 'forward' ? { mode, ...options } : { mode, ...options, clientId: 'broker', clientSecret: SECRET };
}

describe.each(['introspection', 'forward'] as const)('a session server in mode %s', (mode) => {
  it('gets one request per accepted session in cacheSeconds, however many requests use it', async () => {
    const verifier = create(optionsFor(mode));
    const crowd = await Promise.all(Array.from({ length: 50 }, () => verifier.verify(FORWARDED)));
    expect(crowd.map(({ unionId }) => unionId)).toEqual(Array(50).fill(ACCOUNT));
    expect(server.received.map(({ method }) => method)).toEqual([mode === 'forward' ? 'GET' : 'POST']);
    clock.moveTo(29_999);
    await verifier.verify(FORWARDED);
    expect(server.received).toHaveLength(1);
    clock.moveTo(30_000);
    await verifier.verify(FORWARDED);
    expect(server.received).toHaveLength(2);
  });

  it('gets one request per refused session in 2 s', async () => {
    server.answer = (_request, response) => {
      const answer =
        mode === 'forward' ? response.writeHead(401) : response.setHeader('content-type', 'application/json');
      answer.end('{"active":false}');
    };
    const verifier = create(optionsFor(mode));
    for (const time of [0, 1_000, 1_999]) {
      clock.moveTo(time);
      await expectRefused(verifier, FORWARDED, 'session_invalid');
    }
    expect(server.received).toHaveLength(1);
    clock.moveTo(2_000);
    await expectRefused(verifier, FORWARDED, 'session_invalid');
    expect(server.received).toHaveLength(2);
  });
});

describe('mode jwt', () => {
  const jwtOptions = (key: JwtKey): SessionOptions => ({
    mode: 'jwt',
    key,
    issuer: ISSUER,
    audience: AUDIENCE,
    claims: CLAIM_NAMES,
    cacheSeconds: 30,
  });

  it('checks a refused session again at once, because the check is local', async () => {
    const verifier = create(jwtOptions({ secret: SECRET }));
    const early = await signWithSecret(SECRET, 'HS256', {}, claimsWith({ nbf: START_SECONDS + 61 }));
    await expectRefused(verifier, early, 'session_invalid');
    clock.moveTo(1_000);
    expect((await verifier.verify(early)).unionId).toBe(ACCOUNT);
  });

  it.each([
    ['10 minutes', 600_000, true],
    ['an hour', 3_600_000, false],
  ])(
    'accepts a key that was removed from the JWKS for %s and twice cacheSeconds at most',
    async (_, keysUsedMs, isFetched) => {
      const [removed, other] = await Promise.all([newSigner('ES256', 'removed'), newSigner('ES256', 'other')]);
      server.answer = json({ keys: [removed.jwk, other.jwk] });
      const options = jwtOptions({ jwksUrl: new URL('/jwks', server.origin) });
      const verifier = create(options);
      const session = await removed.sign({ exp: START_SECONDS + 86_400 });
      const acceptedAt = async (ms: number) => {
        clock.moveTo(ms);
        expect((await verifier.verify(session)).unionId).toBe(ACCOUNT);
      };
      await acceptedAt(0);
      const fail: RequestListener = (_request, response) => response.writeHead(500).end();
      server.answer = isFetched ? json({ keys: [other.jwk] }) : fail;
      await acceptedAt(keysUsedMs - 1);
      clock.moveTo(keysUsedMs);
      await Promise.resolve(verifier.verify(await other.sign({ exp: START_SECONDS + 86_400 }))).catch(() => undefined);
      server.answer = fail;
      for (let ms = keysUsedMs; ms < keysUsedMs + 60_000 - 1; ms += 500) await acceptedAt(ms);
      clock.moveTo(keysUsedMs + 60_000 - 1);
      await expectRefused(verifier, session, 'session_check_unavailable');
    },
  );

  it('does not start with an unusable key', () => {
    expect(() => create(jwtOptions({ secret: 'short' }))).toThrow('at least 32 bytes');
  });
});
