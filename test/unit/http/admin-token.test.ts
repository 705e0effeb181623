import { describe, expect, it } from 'vitest';
import { internalOpenApiDocument } from '../../../scripts/openapi-document.ts';
import { plainRequest } from '../../support/plain-request.ts';
import { ADMIN_TOKEN, recordingAccounts, startInternalApp } from './running-internal-app.ts';

const { paths } = (await internalOpenApiDocument('1.0.0')) as {
  readonly paths: Record<string, Record<string, { readonly security?: readonly object[] }>>;
};
/** Every operation that needs the admin token. */
const ROUTES = Object.entries(paths).flatMap(([path, operations]) =>
  Object.entries(operations)
    .filter(([, { security = [] }]) => security.length > 0)
    .map(([method]) => [method.toUpperCase(), path.replaceAll(/{\w+}/g, 'phone-1')] as const),
);

const REALM = 'Bearer realm="sdk-token-broker-internal"';

describe.each(ROUTES)('%s %s', (method, path) => {
  it.each([undefined, '', 'Bearer', `Basic ${ADMIN_TOKEN}`, ADMIN_TOKEN])(
    'refuses a request without the admin token: %j',
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
  ])('refuses every other credential: %j', async (authorization) => {
    const recorded = recordingAccounts();
    const { origin, log } = await startInternalApp({
      accounts: recorded.accounts,
      tokens: { read: () => Promise.reject(new Error('read')) },
    });
    const answer = await plainRequest(origin + path, { method, headers: { authorization } });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(`${REALM}, error="invalid_token", error_description=`);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'session_invalid' });
    expect([...recorded.found, ...recorded.erased, ...recorded.loggedOut, ...recorded.lookedUp]).toEqual([]);
    expect(`${answer.body}${log()}`).not.toMatch(/canary/i);
  });

  it('does not exist if no admin token is configured', async () => {
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

it.each(['Bearer', 'bearer', 'BEARER  '])('the scheme can be written %j', async (scheme) => {
  const { ask } = await startInternalApp();
  expect((await ask('DELETE', '/accounts/a', { headers: { authorization: `${scheme} ${ADMIN_TOKEN}` } })).status).toBe(
    204,
  );
});
