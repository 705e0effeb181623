import fc from 'fast-check';
import { CompactSign } from 'jose';
import { expect, test } from 'vitest';
import { type Replica, startBrokerService } from '../support/broker-service.ts';
import { type Fleet, startServices } from '../support/fleet.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { accessTokenOf } from '../support/served-token.ts';
import { introspectionAt, type RecordingServer, recordingServer } from '../unit/session/recording-server.ts';

const SECRET = 'a-secret-of-at-least-32-bytes-for-hs256';
/** What frameworks say if nobody is logged in, as JSON. */
const NOBODY = ['0', '-1', '"0"', '"-1"', '"null"', '"undefined"', '"anonymousUser"'];
/** A path with one of these has another meaning. */
const IN_PATHS = ['"."', '".."'];
const ID = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }).filter((id) => !NOBODY.includes(String(id)));
const EDGES = [7n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)];
const IDS = [...new Set([...EDGES, ...fc.sample(ID, 6)])].map(String);

/** A session whose account is this JSON value, if the cloud is asked. */
function opaque(id: string): string {
  return Buffer.from(id).toString('base64url');
}

/** Answers with the account of the bearer token, or of the token in the form. */
async function startCloud(): Promise<RecordingServer> {
  const cloud: RecordingServer = await recordingServer((_request, response) => {
    const { headers, body } = cloud.received.at(-1) ?? {};
    const session = new URLSearchParams(body).get('token') ?? headers?.authorization?.slice('Bearer '.length);
    const id = Buffer.from(session ?? '', 'base64url');
    response.setHeader('content-type', 'application/json').end(`{"active":true,"sub":${id},"region":"DE"}`);
  });
  return cloud;
}

function signed(id: string): Promise<string> {
  const times = `"iat":${Math.floor(Date.now() / 1_000)},"exp":${Math.floor(Date.now() / 1_000) + 600}`;
  const claims = `{"iss":"cloud","aud":"broker","sub":${id},"region":"DE",${times}}`;
  return new CompactSign(Buffer.from(claims)).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(SECRET));
}

/** A replica of this fleet in each mode. */
async function startInEveryMode({ env }: Fleet<Replica>) {
  const cloud = await startCloud();
  const start = (settings: Readonly<Record<string, string>>) =>
    startBrokerService({ ...env, SESSION_JWT_JWKS_URL: '', ...settings });
  const [jwt, introspection, forward] = await Promise.all([
    start({ SESSION_JWT_SECRET: SECRET, SESSION_JWT_ISSUER: 'cloud', SESSION_JWT_AUDIENCE: 'broker' }),
    start(introspectionAt(cloud.origin)),
    start({ SESSION_MODE: 'forward', SESSION_FORWARD_URL: cloud.origin }),
  ]);
  return { jwt, introspection, forward };
}

test('an account is the same one as a number and as text, in every mode, in Redis and in the internal API', async () => {
  const fleet = await startServices({ replicas: 0, env: { ADMIN_TOKEN } });
  const { jwt, introspection, forward } = await startInEveryMode(fleet);
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
      [introspection, opaque(id)],
      [forward, opaque(id)],
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

test('what frameworks say for nobody, and . and .., is no account, in every mode: no login, and the log says why', async () => {
  const fleet = await startServices({ replicas: 0 });
  const { jwt, introspection, forward } = await startInEveryMode(fleet);
  const undecided = '503 session_check_unavailable';
  for (const id of [...NOBODY, ...IN_PATHS]) {
    const sessions: [Replica, string][] = [
      [jwt, await signed(id)],
      [introspection, opaque(id)],
      [forward, opaque(id)],
    ];
    const answers = await Promise.all(sessions.map(([broker, session]) => broker.getToken(session, 'phone')));
    const codes = answers.map(({ status, body }) => `${status} ${JSON.parse(body).code}`);
    const judged = IN_PATHS.includes(id) ? '401 session_invalid' : undecided;
    expect([id, ...codes]).toEqual([id, judged, judged, undecided]);
  }
  expect(fleet.vendor.state().requests).toBe(0);
  for (const broker of [jwt, introspection, forward]) {
    expect(broker.log().join('\n')).toContain('claim sub');
    expect(broker.log().join('\n')).toContain('is 0, which means that nobody is logged in');
  }
});
