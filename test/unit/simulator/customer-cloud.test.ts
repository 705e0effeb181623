import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CustomerCloud, startCustomerCloud } from '../../../src/simulator/customer-cloud.ts';

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

test('issues sessions in process, with given claims, also of its end', async () => {
  const session = await cloud.issueSession({ unionId: 'u-1', claims: { app: 'ios' } });
  expect(await verified(session)).toMatchObject({ sub: 'u-1', app: 'ios' });
  const expired = await cloud.issueSession({ unionId: 'u-1', claims: { exp: 1 } });
  await expect(verified(expired)).rejects.toThrow(errors.JWTExpired);
});

test('publishes no private part of its key', async () => {
  const { keys } = (await (await fetch(cloud.jwksUrl)).json()) as { keys: object[] };
  expect(keys).toEqual([expect.not.objectContaining({ d: expect.anything() })]);
});
