import { beforeEach, describe, expect, it } from 'vitest';
import { createIntrospectionVerifier, requirePurpose } from '../../../src/session/introspection-verifier.ts';
import type { SessionVerifier } from '../../../src/token/principal.ts';
import { TestClock } from '../../support/test-clock.ts';
import { json, type RecordingServer, recordingServer } from './recording-server.ts';
import { itIsUnavailable } from './session-server-faults.ts';
import { ACCOUNT, CLAIM_NAMES, CLAIMS, expectRefused, PRINCIPAL, shownBy } from './sessions.ts';

const SESSION = 'opaque-session-of-somebody';
const CLIENT_ID = 'sdk broker:é';
const CLIENT_SECRET = 'secret: with+100%&more/=';

let clock: TestClock;
let server: RecordingServer;
let verifier: SessionVerifier;

beforeEach(async () => {
  clock = new TestClock();
  server = await recordingServer(json({ active: true, sub: ACCOUNT }));
  verifier = verifierAt('/oauth/introspect?tenant=7');
});

function verifierAt(path: string): SessionVerifier {
  const url = new URL(path, server.origin);
  return createIntrospectionVerifier({
    url,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    claims: CLAIM_NAMES,
    clock,
    userAgent: 'sdk-token-broker/1.2.3',
  });
}

describe('an opaque session', () => {
  it('is sent only to the configured URL, form-encoded, with the credentials of the client', async () => {
    await verifier.verify('a+b/c~==');
    const [request] = server.received;
    expect(server.received).toHaveLength(1);
    expect(request).toMatchObject({
      method: 'POST',
      url: '/oauth/introspect?tenant=7',
      body: 'token=a%2Bb%2Fc%7E%3D%3D',
    });
    expect(request?.headers).toMatchObject({
      accept: 'application/json',
      'user-agent': 'sdk-token-broker/1.2.3',
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
    });
    const [scheme, credentials = ''] = request?.headers.authorization?.split(' ') ?? [];
    expect(scheme).toBe('Basic');
    // RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
    const [id, secret] = Buffer.from(credentials, 'base64').toString('latin1').split(':');
    expect(new URLSearchParams(`id=${id}`).get('id')).toBe(CLIENT_ID);
    expect(new URLSearchParams(`secret=${secret}`).get('secret')).toBe(CLIENT_SECRET);
  });

  it('is not sent with the name of a library', async () => {
    const options = { url: new URL(server.origin), clientId: CLIENT_ID, clientSecret: CLIENT_SECRET };
    await createIntrospectionVerifier({ ...options, claims: CLAIM_NAMES, clock }).verify(SESSION);
    expect(server.received[0]?.headers).not.toHaveProperty('user-agent');
  });

  it('has an account and an end', async () => {
    server.answer = json({ active: true, ...CLAIMS });
    expect(await verifier.verify(SESSION)).toEqual(PRINCIPAL);
  });

  it('is refused if it is not active, whatever the other fields', async () => {
    server.answer = json({ active: false, ...CLAIMS });
    const error = await expectRefused(verifier, SESSION, 'session_invalid');
    expect(error.detail).toBe('The session is not active');
  });
});

describe('a session is neither accepted nor refused', () => {
  async function expectUnavailable(): Promise<void> {
    const error = await expectRefused(verifier, SESSION, 'session_check_unavailable');
    expect(error.retryAfter).toBe(2);
    for (const secret of [CLIENT_SECRET, encodeURIComponent(CLIENT_SECRET)])
      expect(shownBy(error)).not.toContain(secret);
  }

  itIsUnavailable(
    () => server,
    expectUnavailable,
    async () => expect((await verifier.verify(SESSION)).unionId).toBe(ACCOUNT),
  );

  it.each([{}, { active: 'true' }, { active: 1 }, { active: null }])('if the answer is %j', async (body) => {
    server.answer = json(body);
    await expectUnavailable();
  });

  it('if the answer is nested too deep to read its account digit by digit', async () => {
    const nested = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
    server.answer = (_request, response) =>
      response.setHeader('content-type', 'application/json').end(`{"active":true,"sub":7,"groups":${nested}}`);
    await expectUnavailable();
  });

  it.each([401, 403])('if the server refuses the credentials of the broker with %d', async (status) => {
    server.answer = (_request, response) => {
      response.writeHead(status, { 'www-authenticate': 'Basic realm="oauth"', 'content-type': 'application/json' });
      response.end('{"error":"invalid_client","active":false}');
    };
    await expectUnavailable();
  });

  it('and the cause of the error says why, without the answer', async () => {
    server.answer = (_request, response) => response.writeHead(500).end();
    const failed = await expectRefused(verifier, SESSION, 'session_check_unavailable');
    expect(failed.cause).toMatchObject({ message: 'The introspection URL answered 500 instead of 200' });
    server.answer = json({ active: 'yes' });
    const malformed = await expectRefused(verifier, SESSION, 'session_check_unavailable');
    expect(malformed.cause).toMatchObject({ message: expect.stringMatching(/^The introspection URL: ./) });
    expect(malformed.cause).not.toHaveProperty('cause');
  });

  it('and the error shows nothing secret of the answer', async () => {
    for (const body of [`<p>${SESSION}</p>`, `{"active":"${SESSION}"}`, `["${SESSION}"]`, `{"error":"${SESSION}"}`]) {
      for (const status of [200, 400, 401]) {
        server.answer = (_request, response) =>
          response.writeHead(status, { 'content-type': 'application/json', 'x-token': SESSION }).end(body);
        await expectUnavailable();
      }
    }
  });
});

describe('the purpose of a session', () => {
  const refusal = (detail: string) => expect.objectContaining({ code: 'session_invalid', detail });

  it('is the required audience, alone or among others', () => {
    const audience = 'broker';
    for (const aud of [audience, [audience], ['other', audience]]) {
      expect(() => requirePurpose({ aud }, { audience })).not.toThrow();
    }
    for (const aud of [undefined, null, '', 'other', 'broker ', [], ['other'], 7]) {
      expect(() => requirePurpose({ aud }, { audience })).toThrow(
        refusal('The session is not meant for the broker: wrong audience'),
      );
      expect(() => requirePurpose({ aud }, {})).not.toThrow();
    }
  });

  it('is every required scope, among others', () => {
    const scopes = ['camera', 'token'];
    for (const scope of ['camera token', 'token other camera']) {
      expect(() => requirePurpose({ scope }, { scopes })).not.toThrow();
    }
    for (const scope of [undefined, '', 'camera', 'cameratoken', 'camera,token', 'Camera Token', scopes, 7]) {
      expect(() => requirePurpose({ scope }, { scopes })).toThrow(
        refusal('The session lacks a scope that the broker requires'),
      );
      expect(() => requirePurpose({ scope }, {})).not.toThrow();
    }
  });
});
