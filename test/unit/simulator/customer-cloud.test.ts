import { createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { CameraSdk, type HostAccountInfo } from '../../../src/simulator/camera-sdk.ts';
import { type CustomerCloud, startCustomerCloud } from '../../../src/simulator/customer-cloud.ts';
import { listen, readJson, sendJson } from '../../../src/simulator/http-server.ts';

let cloud: CustomerCloud;

beforeEach(async () => {
  cloud = await startCustomerCloud({ sessionSeconds: 120 });
});
afterEach(() => cloud.close());

async function verified(session: string) {
  const { issuer, audience } = cloud;
  const keys = createRemoteJWKSet(new URL(cloud.jwksUrl));
  const { payload } = await jwtVerify(session, keys, { issuer, audience, algorithms: ['ES256'] });
  return payload;
}

async function login(body: unknown) {
  const response = await fetch(`${cloud.url}/login`, { method: 'POST', body: JSON.stringify(body) });
  return {
    status: response.status,
    body: (await response.json()) as { session: string; unionId: string; error: string },
  };
}

test('gives an account a session that its published keys verify', async () => {
  const { status, body } = await login({ account: 'alice', region: 'DE' });
  expect(status).toBe(200);
  expect(body).toEqual({
    session: expect.any(String),
    expiresIn: 120,
    unionId: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  const claims = await verified(body.session);
  expect(claims).toMatchObject({ sub: body.unionId, region: 'DE' });
  expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(120);
});

test('gives an account the same subject at each login, and other accounts other subjects', async () => {
  const subjects: unknown[] = [];
  for (const account of ['alice', 'alice', 'bob']) {
    subjects.push((await verified((await login({ account })).body.session)).sub);
  }
  expect(subjects[0]).toBe(subjects[1]);
  expect(subjects[2]).not.toBe(subjects[0]);
});

test.each([
  {},
  null,
  { account: '' },
  { account: 1 },
  { account: 'a', region: 'de' },
  { account: 'a', region: 'UK' },
  { account: 'a', region: 1 },
])('refuses to log in %j', async (body) => {
  expect(await login(body)).toEqual({ status: 400, body: { error: expect.stringMatching(/account|region/) } });
});

test('issues sessions in process, with a given lifetime and given claims', async () => {
  const session = await cloud.issueSession({ unionId: 'u-1', claims: { app: 'ios' } });
  expect(await verified(session)).toMatchObject({ sub: 'u-1', app: 'ios' });
  const expired = await cloud.issueSession({ unionId: 'u-1', sessionSeconds: -1 });
  await expect(verified(expired)).rejects.toThrow(errors.JWTExpired);
});

test('signs with the new key after a rotation. The old key verifies until it is retired', async () => {
  const before = await cloud.issueSession({ unionId: 'u-1' });
  await cloud.publishNextKey();
  const stillBefore = await cloud.issueSession({ unionId: 'u-1' });
  expect(decodeProtectedHeader(stillBefore).kid).toBe(decodeProtectedHeader(before).kid);
  await cloud.rotateKey();
  const after = await cloud.issueSession({ unionId: 'u-1' });
  expect(decodeProtectedHeader(after).kid).not.toBe(decodeProtectedHeader(before).kid);
  await Promise.all([verified(before), verified(after)]);
  cloud.retireOldKeys();
  await verified(after);
  await expect(verified(before)).rejects.toThrow(errors.JWKSNoMatchingKey);
});

test('counts the requests for its keys, and publishes no private part', async () => {
  const { keys } = (await (await fetch(cloud.jwksUrl)).json()) as { keys: object[] };
  expect(keys).toEqual([expect.not.objectContaining({ d: expect.anything() })]);
  expect(cloud.jwksFetches()).toBe(1);
});

describe('the share look-ups', () => {
  const BROKER_TOKEN = 'internal-token-canary';

  /** A broker's internal API that knows the accessIds of some accounts, and records what it is asked. */
  async function startBroker(status = 200) {
    const asked: string[] = [];
    const broker = await listen('127.0.0.1', 0, async (request, response) => {
      expect(request.headers.authorization).toBe(`Bearer ${BROKER_TOKEN}`);
      asked.push(`${request.method} ${request.url}`);
      if (request.url === '/accounts/lookup') {
        const { accessIds } = (await readJson(request)) as { accessIds: string[] };
        const unionIds = accessIds.filter((id) => id.startsWith('id-')).map((id) => [id, id.slice(3)]);
        return sendJson(response, Object.fromEntries(unionIds), status);
      }
      return sendJson(response, { accessId: `id-${request.url?.split('/')[2]}`, region: 'DE' }, status);
    });
    onTestFinished(() => broker.close());
    cloud.useBroker({ url: broker.url, token: BROKER_TOKEN });
    return asked;
  }

  async function sessionOf(account: string): Promise<string> {
    return (await login({ account, region: 'DE' })).body.session;
  }

  async function ask(session: string | undefined, path: string, body?: object) {
    const response = await fetch(cloud.url + path, {
      method: body ? 'POST' : 'GET',
      headers: session === undefined ? {} : { authorization: `Bearer ${session}` },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, body: (await response.json()) as object };
  }

  test('let the SDK share a camera with a typed account and list the people it is shared with', async () => {
    const asked = await startBroker();
    const session = await sessionOf('alice');
    const bob = (await verified(await sessionOf('bob@example.com'))).sub;
    const sdk = new CameraSdk('http://127.0.0.1:9', async () => ({}), {
      onRequestAccountInfoByAccount: async (account) => {
        const answer = await ask(session, `/share/account?account=${encodeURIComponent(account)}`);
        return answer.status === 200 ? (answer.body as HostAccountInfo) : undefined;
      },
      onRequestAccountInfoByAccessId: async (accessIds) =>
        ((await ask(session, '/share/accounts', { accessIds })).body as { accounts: HostAccountInfo[] }).accounts,
    });
    expect(await sdk.sharedWith()).toEqual([]);
    const person = { accessId: `id-${bob}`, nickName: 'bo***m' };
    expect(await sdk.shareWith('bob@example.com')).toEqual(person);
    expect(await sdk.sharedWith()).toEqual([person]);
    await expect(sdk.shareWith('nobody')).rejects.toThrow('the app knows nobody with this account');
    expect(asked).toEqual([`PUT /accounts/${bob}/access-id?regRegion=DE`, 'POST /accounts/lookup']);
  });

  test.each([
    ['bob', 'b***b'],
    ['al', '***'],
    ['用户名', '用***名'],
    ['alexander', 'al***r'],
  ])('show at most two thirds of a name: %s as %s', async (account, shown) => {
    await startBroker();
    const { body } = await ask(await sessionOf(account), `/share/account?account=${encodeURIComponent(account)}`);
    expect(body).toMatchObject({ nickName: shown });
  });

  test('tell a stranger nothing: without a session each account gets the same 401, and the broker is not asked', async () => {
    const asked = await startBroker();
    await sessionOf('bob');
    const expired = await cloud.issueSession({ unionId: 'u-1', sessionSeconds: -1 });
    const foreign = await cloud.issueSession({ unionId: 'u-1', claims: { aud: 'another-service' } });
    for (const session of [undefined, '', 'canary', expired, foreign]) {
      for (const account of ['bob', 'nobody']) {
        const { status, body } = await ask(session, `/share/account?account=${account}`);
        expect([status, body]).toEqual([401, { error: 'a valid session is required' }]);
      }
      expect((await ask(session, '/share/accounts', { accessIds: ['id-1'] })).status).toBe(401);
    }
    expect(asked).toEqual([]);
  });

  test('give one answer for a name that nobody has, an empty one and none, and leave unknown accessIds out', async () => {
    const asked = await startBroker();
    const session = await sessionOf('alice');
    for (const query of ['?account=nobody', '?account=', '', '?account=ali', '?account=id-1']) {
      const { status, body } = await ask(session, `/share/account${query}`);
      expect([status, body]).toEqual([404, { error: 'there is no such account' }]);
    }
    expect(asked).toEqual([]);
    const answer = await ask(session, '/share/accounts', { accessIds: ['id-of-another-cloud', 'unknown'] });
    expect(answer).toMatchObject({ status: 200, body: { accounts: [] } });
  });

  test('are limited for each user, whatever is asked', async () => {
    await startBroker();
    const session = await sessionOf('alice');
    const statuses: number[] = [];
    for (let number = 0; number < 12; number += 1) {
      const { status, headers } = await ask(session, `/share/account?account=guess-${number}`);
      statuses.push(status);
      if (status === 429) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expect(statuses).toEqual([...Array(10).fill(404), 429, 429]);
    expect((await ask(session, '/share/accounts', { accessIds: ['id-1'] })).status).toBe(429);
    expect((await ask(await sessionOf('carol'), '/share/account?account=alice')).status).toBe(200);
  });

  test.each([{}, { accessIds: [] }, { accessIds: 'id-1' }, { accessIds: [1] }, { accessIds: Array(51).fill('id') }])(
    'refuse to look up %j',
    async (body) => {
      const asked = await startBroker();
      expect((await ask(await sessionOf('alice'), '/share/accounts', body)).status).toBe(400);
      expect(asked).toEqual([]);
    },
  );

  test('show no error of the broker to the app', async () => {
    const session = await sessionOf('alice');
    expect((await ask(session, '/share/account?account=alice')).status).toBe(503);
    await startBroker(502);
    const { status, body } = await ask(session, '/share/account?account=alice');
    expect([status, body]).toEqual([503, { error: 'the look-up is not possible at this moment' }]);
  });
});
