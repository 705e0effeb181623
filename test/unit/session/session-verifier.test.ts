import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSessionVerifier, type SessionOptions } from '../../../src/session/session-verifier.ts';
import { silentObserver } from '../../../src/token/observer.ts';
import { json, RecordingServer } from './recording-server.ts';
import {
  ACCOUNT,
  AUDIENCE,
  CLAIM_NAMES,
  claimsWith,
  expectRefused,
  ISSUER,
  START_MS,
  START_SECONDS,
  signWithSecret,
  TestClock,
} from './sessions.ts';

const SECRET = 'a-secret-of-just-32-bytes-length';
const FORWARDED = JSON.stringify({ cookie: 'SID=session-of-somebody' });

let clock: TestClock;
let server: RecordingServer;

beforeEach(async () => {
  clock = new TestClock();
  server = new RecordingServer(json({ active: true, sub: ACCOUNT }));
  await server.start();
});

afterEach(() => server.stop());

function optionsFor(mode: 'introspection' | 'forward'): SessionOptions {
  const url = new URL('/sessions', server.origin);
  const options = { url, claims: CLAIM_NAMES, cacheSeconds: 30 };
  return mode === 'forward' ? { mode, ...options } : { mode, ...options, clientId: 'broker', clientSecret: SECRET };
}

describe.each(['introspection', 'forward'] as const)('a session server in mode %s', (mode) => {
  it('gets one request per accepted session in cacheSeconds, however many requests use it', async () => {
    const verifier = createSessionVerifier(optionsFor(mode), clock, silentObserver);
    const crowd = await Promise.all(Array.from({ length: 50 }, () => verifier.verify(FORWARDED)));
    expect(crowd.map(({ unionId }) => unionId)).toEqual(Array(50).fill(ACCOUNT));
    expect(server.received.map(({ method }) => method)).toEqual([mode === 'forward' ? 'GET' : 'POST']);
    clock.time = START_MS + 29_999;
    await verifier.verify(FORWARDED);
    expect(server.received).toHaveLength(1);
    clock.time = START_MS + 30_000;
    await verifier.verify(FORWARDED);
    expect(server.received).toHaveLength(2);
  });

  it('gets one request per refused session in 2 s', async () => {
    server.answer = (_request, response) => {
      const answer =
        mode === 'forward' ? response.writeHead(401) : response.setHeader('content-type', 'application/json');
      answer.end('{"active":false}');
    };
    const verifier = createSessionVerifier(optionsFor(mode), clock, silentObserver);
    for (const time of [0, 1_000, 1_999]) {
      clock.time = START_MS + time;
      await expectRefused(verifier, FORWARDED, 'session_invalid');
    }
    expect(server.received).toHaveLength(1);
    clock.time = START_MS + 2_000;
    await expectRefused(verifier, FORWARDED, 'session_invalid');
    expect(server.received).toHaveLength(2);
  });
});

describe('mode jwt', () => {
  const jwtOptions = (secret: string): SessionOptions => ({
    mode: 'jwt',
    key: { secret },
    issuer: ISSUER,
    audience: AUDIENCE,
    claims: CLAIM_NAMES,
    cacheSeconds: 30,
  });

  it('checks a refused session again at once, because the check is local', async () => {
    const verifier = createSessionVerifier(jwtOptions(SECRET), clock, silentObserver);
    const early = await signWithSecret(SECRET, 'HS256', {}, claimsWith({ nbf: START_SECONDS + 1 }));
    await expectRefused(verifier, early, 'session_invalid');
    clock.time = START_MS + 1_000;
    expect((await verifier.verify(early)).unionId).toBe(ACCOUNT);
  });

  it('does not start with an unusable key', () => {
    expect(() => createSessionVerifier(jwtOptions('short'), clock, silentObserver)).toThrow('at least 32 bytes');
  });
});
