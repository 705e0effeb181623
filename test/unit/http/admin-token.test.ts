import { describe, expect, it } from 'vitest';
import { plainRequest } from '../../support/plain-request.ts';
import { ADMIN_TOKEN, notingAccounts, startInternalApp } from './running-internal-app.ts';

const ROUTES = [
  ['GET', '/accounts/user-1'],
  ['DELETE', '/accounts/user-1'],
  ['POST', '/accounts/lookup'],
  ['GET', '/accounts/user-1/terminals/phone-1/sdk-token'],
  ['DELETE', '/accounts/user-1/terminals/phone-1'],
] as const;

const REALM = 'Bearer realm="sdk-token-broker-internal"';

describe.each(ROUTES)('%s %s', (method, path) => {
  it.each([undefined, '', 'Bearer', `Basic ${ADMIN_TOKEN}`, ADMIN_TOKEN])(
    'asks for the admin token where there is none: %j',
    async (authorization) => {
      const { origin } = await startInternalApp();
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await plainRequest(origin + path, { method, headers });
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toBe(REALM);
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'session_missing' });
    },
  );

  it.each([
    'Bearer canary',
    `Bearer ${ADMIN_TOKEN.toUpperCase()}`,
    `Bearer ${ADMIN_TOKEN}x`,
    `Bearer ${ADMIN_TOKEN.slice(0, -1)}`,
    `Bearer ${ADMIN_TOKEN}, Bearer ${ADMIN_TOKEN}`,
  ])('refuses any other, in whatever words: %j', async (authorization) => {
    const noting = notingAccounts();
    const { origin, log } = await startInternalApp({
      accounts: noting.accounts,
      tokens: { read: () => Promise.reject(new Error('read')) },
    });
    const answer = await plainRequest(origin + path, { method, headers: { authorization } });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(`${REALM}, error="invalid_token", error_description=`);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'session_invalid' });
    expect([...noting.found, ...noting.erased, ...noting.loggedOut, ...noting.lookedUp]).toEqual([]);
    expect(`${answer.body}${log()}`).not.toMatch(/canary/i);
  });

  it('is not there where no admin token is configured, whatever is sent', async () => {
    const { ask, origin } = await startInternalApp({ adminToken: undefined });
    for (const answer of [
      await ask(method, path),
      await plainRequest(origin + path, { method }),
      await ask(method, path, { headers: { authorization: 'Bearer undefined' } }),
    ]) {
      expect(answer.status).toBe(404);
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'not_found' });
    }
  });
});

it.each(['Bearer', 'bearer', 'BEARER  '])('the scheme may be written %j', async (scheme) => {
  const { ask } = await startInternalApp();
  expect((await ask('DELETE', '/accounts/a', { headers: { authorization: `${scheme} ${ADMIN_TOKEN}` } })).status).toBe(
    204,
  );
});

it('an admin token may hold whatever a header may', async () => {
  const adminToken = '!"#$%&,()=? {}';
  const { ask } = await startInternalApp({ adminToken });
  expect((await ask('DELETE', '/accounts/a', { headers: { authorization: `Bearer ${adminToken}` } })).status).toBe(204);
});
