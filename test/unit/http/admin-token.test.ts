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
  it('refuses a request without the admin token, and every other credential', async () => {
    const recorded = recordingAccounts();
    const { origin, log } = await startInternalApp({
      accounts: recorded.accounts,
      tokens: { read: () => Promise.reject(new Error('read')) },
      status: () => Promise.reject(new Error('read')),
    });
    const missing = [undefined, '', 'Bearer', `Basic ${ADMIN_TOKEN}`, ADMIN_TOKEN];
    const wrong = ['canary', ADMIN_TOKEN.toUpperCase(), `${ADMIN_TOKEN}x`, ADMIN_TOKEN.slice(0, -1)];
    const twice = `Bearer ${ADMIN_TOKEN}, Bearer ${ADMIN_TOKEN}`;
    for (const authorization of [...missing, ...wrong.map((token) => `Bearer ${token}`), twice]) {
      const answer = await plainRequest(origin + path, {
        method,
        headers: authorization === undefined ? {} : { authorization },
      });
      const isMissing = missing.includes(authorization);
      expect(answer.status, authorization).toBe(401);
      expect(answer.headers['www-authenticate']).toMatch(
        isMissing
          ? /^Bearer realm="sdk-token-broker-internal"$/
          : `${REALM}, error="invalid_token", error_description=`,
      );
      expect(JSON.parse(answer.body)).toMatchObject({ code: isMissing ? 'session_missing' : 'session_invalid' });
      expect(answer.body).not.toMatch(/canary/i);
    }
    expect([...recorded.found, ...recorded.erased, ...recorded.loggedOut, ...recorded.lookedUp]).toEqual([]);
    expect(log()).not.toMatch(/canary/i);
  });

  it('does not exist if no admin token is configured', async () => {
    const { ask } = await startInternalApp({ adminToken: undefined });
    for (const authorization of [`Bearer ${ADMIN_TOKEN}`, '', 'Bearer undefined']) {
      const answer = await ask(method, path, { headers: { authorization } });
      expect([answer.status, JSON.parse(answer.body).code]).toEqual([404, 'not_found']);
    }
  });
});

it.each(['Bearer', 'bearer', 'BEARER  '])('the scheme can be written %j', async (scheme) => {
  const { ask } = await startInternalApp();
  expect((await ask('DELETE', '/accounts/a', { headers: { authorization: `${scheme} ${ADMIN_TOKEN}` } })).status).toBe(
    204,
  );
});
