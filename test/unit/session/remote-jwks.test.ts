import { generateKeyPairSync, sign } from 'node:crypto';
import { inspect } from 'node:util';
import type { JWK } from 'jose';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fetchJwks } from '../../../src/session/published-keys.ts';
import type { SessionVerifier } from '../../../src/token/principal.ts';
import { TestClock } from '../../support/test-clock.ts';
import { json, type RecordingServer, recordingServer } from './recording-server.ts';
import {
  ACCOUNT,
  expectRefused,
  jwtVerifier,
  newSigner,
  type Signer,
  START_SECONDS,
  signWithSecret,
  unsigned,
} from './sessions.ts';

let first: Signer;
let second: Signer;
let stranger: Signer;
let server: RecordingServer;
let verifier: SessionVerifier;
let clock: TestClock;

beforeAll(async () => {
  [first, second, stranger] = await Promise.all([
    signerForADay('RS256', 'first'),
    signerForADay('ES256', 'second'),
    signerForADay('RS256', 'first'),
  ]);
});

beforeEach(async () => {
  clock = new TestClock();
  server = await recordingServer(json({ keys: [first.jwk] }));
  verifier = jwtVerifier({ jwksUrl: new URL(server.origin) }, clock);
});

/** The tests move the clock by hours, so the sessions must live longer. */
async function signerForADay(alg: string, kid?: string): Promise<Signer> {
  const { jwk, sign } = await newSigner(alg, kid);
  return { jwk, sign: (claims) => sign({ exp: START_SECONDS + 86_400, ...claims }) };
}

/** From now on, the server publishes these keys. */
function publish(...keys: readonly JWK[]): void {
  server.answer = json({ keys });
}

async function verifyAll(signer: Signer, count: number): Promise<string[]> {
  const sessions = await Promise.all(Array.from({ length: count }, (_, index) => signer.sign({ jti: `${index}` })));
  const principals = await Promise.all(sessions.map((session) => verifier.verify(session)));
  return principals.map((principal) => principal.unionId);
}

describe('published keys', () => {
  it('are fetched once for many sessions', async () => {
    expect(await verifyAll(first, 20)).toEqual(Array(20).fill(ACCOUNT));
    expect(await verifyAll(first, 20)).toEqual(Array(20).fill(ACCOUNT));
    expect(server.received).toHaveLength(1);
  });

  it('never accept a forged session', async () => {
    await expectRefused(verifier, await stranger.sign(), 'session_invalid');
    await expectRefused(verifier, unsigned({ alg: 'none', kid: 'first' }), 'session_invalid');
    const confused = await signWithSecret(JSON.stringify(first.jwk), 'HS256', { kid: 'first' });
    await expectRefused(verifier, confused, 'session_invalid');
    publish({ kty: 'oct', k: Buffer.from('x'.repeat(32)).toString('base64url'), kid: 'shared', alg: 'HS256' });
    clock.advance(5_001);
    const shared = await signWithSecret('x'.repeat(32), 'HS256', { kid: 'shared' });
    await expectRefused(verifier, shared, 'session_invalid');
  });

  it('a JWK Set may have 100 keys', async () => {
    const keys = Array(100).fill(first.jwk);
    publish(...keys);
    expect((await fetchJwks(new URL(server.origin), { clock })).keys).toHaveLength(100);
    publish(...keys, first.jwk);
    await expect(fetchJwks(new URL(server.origin), { clock })).rejects.toThrow('A JWK Set may have at most 100 keys');
  });

  it.each(['null', '7', '"key"', '[]', '{}', '{"kty":"RSA","kid":7}', '{"kty":"RSA","kid":"other","n":{},"e":null}'])(
    'work beside the entry %s',
    async (entry) => {
      server.answer = (_request, response) => response.end(`{"keys":[${entry},${JSON.stringify(first.jwk)},${entry}]}`);
      expect(await verifyAll(first, 2)).toEqual([ACCOUNT, ACCOUNT]);
      await expectRefused(verifier, await stranger.sign(), 'session_invalid');
    },
  );

  it('rotate: an unknown key causes one fetch per cool-down, and a withdrawn key is not accepted', async () => {
    for (let time = 0; time < 2; time += 1) await verifyAll(first, 1);
    // Its header is known.
    expect(verifier.verify(await first.sign())).toMatchObject({ unionId: ACCOUNT });
    publish(second.jwk);

    clock.advance(4_999);
    await expectRefused(verifier, await second.sign(), 'session_invalid');
    expect(server.received).toHaveLength(1);

    clock.advance(1);
    expect(await verifyAll(second, 20)).toEqual(Array(20).fill(ACCOUNT));
    expect(server.received).toHaveLength(2);

    clock.advance(4_999);
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const error = await expectRefused(verifier, await first.sign(), 'session_invalid');
      expect(error.detail).toBe('The session is signed with an unknown key');
    }
    expect(server.received).toHaveLength(2);
  });

  it.each([0, -3_600_000])(
    'are fetched again after ten minutes, and withdrawn keys are not accepted, with the clock set by %i ms meanwhile',
    async (jumpMs) => {
      for (let time = 0; time < 2; time += 1) await verifyAll(first, 1);
      publish(second.jwk);
      clock.jump(jumpMs);
      clock.advance(599_999);
      expect(verifier.verify(await first.sign())).toMatchObject({ unionId: ACCOUNT });
      clock.advance(1);
      const sessions = await Promise.all(Array.from({ length: 20 }, (_, index) => first.sign({ jti: `${index}` })));
      await Promise.all(sessions.map((session) => expectRefused(verifier, session, 'session_invalid')));
      expect(await verifyAll(second, 20)).toEqual(Array(20).fill(ACCOUNT));
      expect(server.received).toHaveLength(2);
    },
  );

  it('are fetched for a new key after the cool-down, although the clock is set back during it', async () => {
    await verifyAll(first, 1);
    server.answer = (_request, response) => response.writeHead(503).end();
    clock.advance(600_000);
    await verifyAll(first, 1);
    publish(second.jwk);
    clock.jump(-300_000);
    clock.advance(30_000);
    expect(await verifyAll(second, 20)).toEqual(Array(20).fill(ACCOUNT));
    expect(server.received).toHaveLength(3);
  });

  it('must be named by the session if several match, and are not fetched again for it', async () => {
    const nameless = await signerForADay('RS256');
    publish(first.jwk, nameless.jwk);
    const error = await expectRefused(verifier, await nameless.sign(), 'session_invalid');
    expect(error.detail).toBe('The session must name its key in the header parameter kid, because several keys match');
    clock.advance(5_000);
    await expectRefused(verifier, await nameless.sign(), 'session_invalid');
    expect(server.received).toHaveLength(1);
  });
});

describe('a session is neither accepted nor refused without its key', () => {
  async function expectUnavailable(): Promise<string> {
    const error = await expectRefused(verifier, await first.sign(), 'session_check_unavailable');
    expect(error.retryAfter).toBe(2);
    return inspect(error.cause);
  }

  it('while the server is down; after its return and a cool-down of 2 s, sessions are accepted again', async () => {
    await server.stop();
    await expectUnavailable();
    await expectUnavailable();
    await server.start();
    clock.advance(1_999);
    await expectUnavailable();
    expect(server.received).toHaveLength(0);
    clock.advance(1);
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
  });

  it('but known keys are used while the server is down', async () => {
    await verifyAll(first, 1);
    await server.stop();
    clock.advance(3_599_999);
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
    await expectRefused(verifier, await second.sign(), 'session_check_unavailable');
    clock.advance(1);
    await expectUnavailable();
  });

  it('and an unknown key causes one fetch per cool-down while fetches fail', async () => {
    await verifyAll(first, 1);
    server.answer = (_request, response) => response.writeHead(503).end();
    clock.advance(5_000);
    for (let time = 0; time < 10_000; time += 1_000) {
      const unknown = await Promise.all(Array.from({ length: 20 }, (_, jti) => second.sign({ jti: `${jti}` })));
      await Promise.all(unknown.map((session) => expectRefused(verifier, session, 'session_check_unavailable')));
      clock.advance(1_000);
    }
    expect(server.received).toHaveLength(3);
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
  });

  it('but a session with a known key does not wait for a server that hangs, after one has waited', async () => {
    await verifyAll(first, 1);
    server.answer = () => undefined;
    clock.advance(600_000);
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
    clock.advance(5_000);
    const startedAt = performance.now();
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    expect(server.received).toHaveLength(3);
  });

  it('and at most 1,000 wait for a server that hangs, of which none has a known key', async () => {
    await verifyAll(first, 1);
    server.answer = () => undefined;
    clock.advance(599_999);
    const unknown = await second.sign();
    const waiting = Array.from({ length: 1_000 }, () => expectRefused(verifier, unknown, 'session_check_unavailable'));
    const startedAt = performance.now();
    const refused = await expectRefused(verifier, unknown, 'session_check_unavailable');
    expect(inspect(refused.cause)).toContain('Too many sessions wait for the keys');
    clock.advance(1);
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    await Promise.all(waiting);
    expect(server.received).toHaveLength(2);
  });

  it('and the keys are fetched once per cool-down while the answer is not usable', async () => {
    await verifyAll(first, 1);
    server.answer = (_request, response) => response.writeHead(503).end();
    clock.advance(600_000);
    for (let attempt = 0; attempt < 5; attempt += 1) await verifyAll(first, 3);
    expect(server.received).toHaveLength(2);
    const unknown = await expectRefused(verifier, await second.sign(), 'session_check_unavailable');
    expect(inspect(unknown.cause)).toContain('The JWKS URL answered 503 instead of 200');
    clock.advance(4_999);
    await verifyAll(first, 3);
    expect(server.received).toHaveLength(2);
    clock.advance(1);
    await verifyAll(first, 3);
    expect(server.received).toHaveLength(3);

    publish(second.jwk);
    clock.advance(5_000);
    await expectRefused(verifier, await first.sign(), 'session_invalid');
    expect(await verifyAll(second, 3)).toEqual(Array(3).fill(ACCOUNT));
    expect(server.received).toHaveLength(4);
  });

  it.each(['<html>', '', 'null', '7', '"keys"', '[]', '{}', '{"keys":null}', '{"keys":{}}', '{"keys":[1]}'])(
    'if the server answers %j',
    async (body) => {
      server.answer = (_request, response) => response.end(body);
      expect(await expectUnavailable()).toContain('The answer is not a JWK Set');
    },
  );

  it('if the key is too weak', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1_024 });
    publish({ ...(publicKey.export({ format: 'jwk' }) as JWK), kid: 'weak' });
    const signingInput = unsigned({ alg: 'RS256', kid: 'weak' }).slice(0, -1);
    const session = `${signingInput}.${sign('sha256', Buffer.from(signingInput), privateKey).toString('base64url')}`;
    await expectRefused(verifier, session, 'session_check_unavailable');
  });

  it.each([
    ['its key cannot be used', () => [{ ...second.jwk, x: '!' }]],
    ['several keys have its kid', () => [second.jwk, { ...second.jwk }]],
  ])('if %s; once the keys are correct, it is accepted after the cool-down', async (_case, wrongKeys) => {
    publish(first.jwk, ...wrongKeys());
    await expectRefused(verifier, await second.sign(), 'session_check_unavailable');
    publish(first.jwk, second.jwk);
    clock.advance(4_999);
    await expectRefused(verifier, await second.sign(), 'session_check_unavailable');
    expect(server.received).toHaveLength(1);
    clock.advance(1);
    expect(await verifyAll(second, 2)).toEqual([ACCOUNT, ACCOUNT]);
    expect(server.received).toHaveLength(2);
  });

  it('if the set has no keys: the old ones are withdrawn, and a new set is fetched after 2 s', async () => {
    await verifyAll(first, 1);
    publish();
    clock.advance(600_000);
    expect(await expectUnavailable()).toContain('The JWK Set has no keys');
    publish(first.jwk);
    clock.advance(1_999);
    await expectUnavailable();
    expect(server.received).toHaveLength(2);
    clock.advance(1);
    await verifyAll(first, 1);
  });

  it('if the answer does not end', async () => {
    server.answer = (_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write(' '.repeat(65_536)));
      };
      response.on('drain', more);
      more();
    };
    expect(await expectUnavailable()).toContain('at most 1048576 bytes');
  });
});
