import fc from 'fast-check';
import { CompactSign } from 'jose';
import { expect, test } from 'vitest';
import { type Replica, startBrokerService } from '../support/broker-service.ts';
import { startServices } from '../support/fleet.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { accessTokenOf } from '../support/served-token.ts';
import { type RecordingServer, recordingServer } from '../unit/session/recording-server.ts';

const SECRET = 'a-secret-of-at-least-32-bytes-for-hs256';
const ID = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n });
const EDGES = [7n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)];
const IDS = [...new Set([...EDGES, ...fc.sample(ID, 6)])].map(String);

/** Answers with the bearer token, or the token in the form, as the JSON value of the account. */
async function startCloud(): Promise<RecordingServer> {
  const cloud: RecordingServer = await recordingServer((_request, response) => {
    const { headers, body } = cloud.received.at(-1) ?? {};
    const id = new URLSearchParams(body).get('token') ?? headers?.authorization?.slice('Bearer '.length);
    response.setHeader('content-type', 'application/json').end(`{"active":true,"sub":${id},"region":"DE"}`);
  });
  return cloud;
}

function signed(id: string): Promise<string> {
  const times = `"iat":${Math.floor(Date.now() / 1_000)},"exp":${Math.floor(Date.now() / 1_000) + 600}`;
  const claims = `{"iss":"cloud","aud":"broker","sub":${id},"region":"DE",${times}}`;
  return new CompactSign(Buffer.from(claims)).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(SECRET));
}

test('an account is the same one as a number and as text, in every mode, in Redis and in the internal API', async () => {
  const fleet = await startServices({ replicas: 0, env: { ADMIN_TOKEN } });
  const cloud = await startCloud();
  const start = async (env: Readonly<Record<string, string>>) => {
    const broker = await startBrokerService({ ...fleet.env, SESSION_JWT_JWKS_URL: '', ...env });
    return broker;
  };
  const [jwt, introspection, forward] = await Promise.all([
    start({ SESSION_JWT_SECRET: SECRET, SESSION_JWT_ISSUER: 'cloud', SESSION_JWT_AUDIENCE: 'broker' }),
    start({
      SESSION_MODE: 'introspection',
      SESSION_INTROSPECTION_URL: cloud.origin,
      SESSION_INTROSPECTION_CLIENT_ID: 'broker',
      SESSION_INTROSPECTION_CLIENT_SECRET: 'secret',
    }),
    start({ SESSION_MODE: 'forward', SESSION_FORWARD_URL: cloud.origin }),
  ]);
  const internal = async (path: string, body?: object) => {
    const answer = await askInternal(forward, `${body ? 'POST' : 'GET'} ${path}`, body);
    expect(answer.status).toBe(200);
    return JSON.parse(answer.body);
  };

  const accounts = new Map<string, string>();
  for (const id of IDS) {
    const sessions: [Replica, string][] = [
      [jwt, await signed(id)],
      [jwt, await signed(`"${id}"`)],
      [introspection, id],
      [forward, id],
    ];
    const answers = await Promise.all(sessions.map(([broker, session]) => broker.getToken(session, 'phone')));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(new Set(answers.map(accessTokenOf)).size).toBe(1);
    expect(fleet.vendor.loginsOf(id, 'phone')).toBe(1);
    accounts.set((await internal(`/accounts/${id}`)).accessId, id);
  }
  expect(accounts.size).toBe(IDS.length);
  const found = await internal('/accounts/lookup', { accessIds: [...accounts.keys()] });
  expect(found).toEqual(Object.fromEntries(accounts));
});
