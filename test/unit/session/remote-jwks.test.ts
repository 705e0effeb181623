import { generateKeyPairSync, sign } from 'node:crypto';
import { inspect } from 'node:util';
import type { JWK } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { JwtVerifier } from '../../../src/session/jwt-verifier.ts';
import { fetchJwks } from '../../../src/session/published-keys.ts';
import { JwksServer } from './jwks-server.ts';
import { json } from './recording-server.ts';
import {
  ACCOUNT,
  AUDIENCE,
  CLAIM_NAMES,
  expectRefused,
  ISSUER,
  newSigner,
  type Signer,
  START_SECONDS,
  signWithSecret,
  TestClock,
  unsigned,
} from './sessions.ts';

let first: Signer;
let second: Signer;
let stranger: Signer;
let server: JwksServer;
let verifier: JwtVerifier;
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
  server = new JwksServer();
  server.keys = [first.jwk];
  await server.start();
  verifier = new JwtVerifier({
    key: { jwksUrl: server.url },
    issuer: ISSUER,
    audience: AUDIENCE,
    claims: CLAIM_NAMES,
    clock,
  });
});

afterEach(async () => {
  await server.stop();
});

/** The tests move the clock by hours, so the sessions must live longer. */
async function signerForADay(alg: string, kid?: string): Promise<Signer> {
  const { jwk, sign } = await newSigner(alg, kid);
  return { jwk, sign: (claims) => sign({ exp: START_SECONDS + 86_400, ...claims }) };
}

function passMs(ms: number): void {
  clock.time += ms;
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
    expect(server.fetches).toBe(1);
  });

  it('never accept a forged session', async () => {
    await expectRefused(verifier, await stranger.sign(), 'session_invalid');
    await expectRefused(verifier, unsigned({ alg: 'none', kid: 'first' }), 'session_invalid');
    const confused = await signWithSecret(JSON.stringify(first.jwk), 'HS256', { kid: 'first' });
    await expectRefused(verifier, confused, 'session_invalid');
    server.keys = [{ kty: 'oct', k: Buffer.from('x'.repeat(32)).toString('base64url'), kid: 'shared', alg: 'HS256' }];
    passMs(5_001);
    const shared = await signWithSecret('x'.repeat(32), 'HS256', { kid: 'shared' });
    await expectRefused(verifier, shared, 'session_invalid');
  });

  it('a JWK Set may have 100 keys', async () => {
    server.keys = Array(100).fill(first.jwk);
    expect((await fetchJwks(server.url, { clock })).keys).toHaveLength(100);
    server.keys.push(first.jwk);
    await expect(fetchJwks(server.url, { clock })).rejects.toThrow('A JWK Set may have at most 100 keys');
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
    server.keys = [second.jwk];

    passMs(4_999);
    await expectRefused(verifier, await second.sign(), 'session_invalid');
    expect(server.fetches).toBe(1);

    passMs(1);
    expect(await verifyAll(second, 20)).toEqual(Array(20).fill(ACCOUNT));
    expect(server.fetches).toBe(2);

    passMs(4_999);
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const error = await expectRefused(verifier, await first.sign(), 'session_invalid');
      expect(error.detail).toBe('The session is signed with an unknown key');
    }
    expect(server.fetches).toBe(2);
  });

  it.each([0, -3_600_000])(
    'are fetched again after ten minutes, and withdrawn keys are not accepted, with the clock set by %i ms meanwhile',
    async (jumpMs) => {
      for (let time = 0; time < 2; time += 1) await verifyAll(first, 1);
      server.keys = [second.jwk];
      clock.jump(jumpMs);
      passMs(599_999);
      expect(verifier.verify(await first.sign())).toMatchObject({ unionId: ACCOUNT });
      passMs(1);
      const sessions = await Promise.all(Array.from({ length: 20 }, (_, index) => first.sign({ jti: `${index}` })));
      await Promise.all(sessions.map((session) => expectRefused(verifier, session, 'session_invalid')));
      expect(await verifyAll(second, 20)).toEqual(Array(20).fill(ACCOUNT));
      expect(server.fetches).toBe(2);
    },
  );

  it('are fetched for a new key after the cool-down, although the clock is set back during it', async () => {
    await verifyAll(first, 1);
    server.answer = (_request, response) => response.writeHead(503).end();
    passMs(600_000);
    await verifyAll(first, 1);
    server.answer = json({ keys: [second.jwk] });
    clock.jump(-300_000);
    passMs(30_000);
    expect(await verifyAll(second, 20)).toEqual(Array(20).fill(ACCOUNT));
    expect(server.fetches).toBe(3);
  });

  it('must be named by the session if several match, and are not fetched again for it', async () => {
    const nameless = await signerForADay('RS256');
    server.keys = [first.jwk, nameless.jwk];
    const error = await expectRefused(verifier, await nameless.sign(), 'session_invalid');
    expect(error.detail).toBe('The session must name its key in the header parameter kid, because several keys match');
    passMs(5_000);
    await expectRefused(verifier, await nameless.sign(), 'session_invalid');
    expect(server.fetches).toBe(1);
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
    passMs(1_999);
    await expectUnavailable();
    expect(server.fetches).toBe(0);
    passMs(1);
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
  });

  it('but known keys are used while the server is down', async () => {
    await verifyAll(first, 1);
    await server.stop();
    passMs(3_599_999);
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
    await expectRefused(verifier, await second.sign(), 'session_check_unavailable');
    passMs(1);
    await expectUnavailable();
  });

  it('and an unknown key causes one fetch per cool-down while fetches fail', async () => {
    await verifyAll(first, 1);
    server.answer = (_request, response) => response.writeHead(503).end();
    passMs(5_000);
    for (let time = 0; time < 10_000; time += 1_000) {
      const unknown = await Promise.all(Array.from({ length: 20 }, (_, jti) => second.sign({ jti: `${jti}` })));
      await Promise.all(unknown.map((session) => expectRefused(verifier, session, 'session_check_unavailable')));
      passMs(1_000);
    }
    expect(server.fetches).toBe(3);
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
  });

  it('but a session with a known key does not wait for a server that hangs, after one has waited', async () => {
    await verifyAll(first, 1);
    server.answer = () => undefined;
    passMs(600_000);
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
    passMs(5_000);
    const startedAt = performance.now();
    expect(await verifyAll(first, 3)).toEqual(Array(3).fill(ACCOUNT));
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    expect(server.fetches).toBe(3);
  });

  it('and the keys are fetched once per cool-down while the answer is not usable', async () => {
    await verifyAll(first, 1);
    server.answer = (_request, response) => response.writeHead(503).end();
    passMs(600_000);
    for (let attempt = 0; attempt < 5; attempt += 1) await verifyAll(first, 3);
    expect(server.fetches).toBe(2);
    const unknown = await expectRefused(verifier, await second.sign(), 'session_check_unavailable');
    expect(inspect(unknown.cause)).toContain('The JWKS URL answered 503 instead of 200');
    passMs(4_999);
    await verifyAll(first, 3);
    expect(server.fetches).toBe(2);
    passMs(1);
    await verifyAll(first, 3);
    expect(server.fetches).toBe(3);

    server.answer = json({ keys: [second.jwk] });
    passMs(5_000);
    await expectRefused(verifier, await first.sign(), 'session_invalid');
    expect(await verifyAll(second, 3)).toEqual(Array(3).fill(ACCOUNT));
    expect(server.fetches).toBe(4);
  });

  it('if the server redirects to any address', async () => {
    const elsewhere = new JwksServer();
    elsewhere.keys = [first.jwk];
    await elsewhere.start();
    server.answer = (_request, response) => response.writeHead(302, { location: elsewhere.url.href }).end();
    await expectUnavailable();
    expect(elsewhere.fetches).toBe(0);
    await elsewhere.stop();
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
    server.keys = [{ ...(publicKey.export({ format: 'jwk' }) as JWK), kid: 'weak' }];
    const signingInput = unsigned({ alg: 'RS256', kid: 'weak' }).slice(0, -1);
    const session = `${signingInput}.${sign('sha256', Buffer.from(signingInput), privateKey).toString('base64url')}`;
    await expectRefused(verifier, session, 'session_check_unavailable');
  });

  it.each([
    ['its key cannot be used', () => [{ ...second.jwk, x: '!' }]],
    ['several keys have its kid', () => [second.jwk, { ...second.jwk }]],
  ])('if %s; once the keys are correct, it is accepted after the cool-down', async (_case, wrongKeys) => {
    server.keys = [first.jwk, ...wrongKeys()];
    await expectRefused(verifier, await second.sign(), 'session_check_unavailable');
    server.keys = [first.jwk, second.jwk];
    passMs(4_999);
    await expectRefused(verifier, await second.sign(), 'session_check_unavailable');
    expect(server.fetches).toBe(1);
    passMs(1);
    expect(await verifyAll(second, 2)).toEqual([ACCOUNT, ACCOUNT]);
    expect(server.fetches).toBe(2);
  });

  it('if the set has no keys: the old ones are withdrawn, and a new set is fetched after 2 s', async () => {
    await verifyAll(first, 1);
    server.keys = [];
    passMs(600_000);
    expect(await expectUnavailable()).toContain('The JWK Set has no keys');
    server.keys = [first.jwk];
    passMs(1_999);
    await expectUnavailable();
    expect(server.fetches).toBe(2);
    passMs(1);
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
