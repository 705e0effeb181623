// A small OAuth server. Its sessions are access tokens of oidc-provider.
import { json } from 'node:stream/consumers';
import Provider from 'oidc-provider';
import {
  accountById,
  authenticate,
  deleteAccount,
  deleteAtBroker,
  readData,
  register,
  writeData,
} from '../node/accounts.js';

const { PORT = '3000', BROKER_CLIENT_SECRET = 'onlyForTryingItOut' } = process.env;

/** Keeps the access tokens in a file. In production, use an adapter for your database. */
const tokens = new Map(readData('tokens') || []);
class FileAdapter {
  find = async (id) => tokens.get(id);
  upsert = async (id, token) => writeData('tokens', [...tokens.set(id, token)]);
  destroy = async (id) => tokens.delete(id) && writeData('tokens', [...tokens]);
}

const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  adapter: FileAdapter,
  clients: [
    {
      client_id: 'camera-app',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['com.example.camera:/signed-in'],
    },
    {
      client_id: 'broker',
      client_secret: BROKER_CLIENT_SECRET,
      grant_types: [],
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    devInteractions: { enabled: false },
    // Only the broker may ask about a token. The token is not active without its account.
    introspection: {
      enabled: true,
      allowedPolicy: (_context, { clientId }, { accountId }) => clientId === 'broker' && !!accountById(accountId),
    },
  },
  ttl: { AccessToken: 3_600 },
  extraTokenClaims: (_context, { accountId }) => ({ region: accountById(accountId)?.country }),
});

/** Each returns the status, and may return a body. */
const calls = {
  'GET /healthz': async () => [200, {}],
  'POST /register': async ({ body }) => [await register(body), {}],
  // Use your login pages instead. The app then gets such a token through the authorization code flow.
  'POST /login': async ({ body }) => {
    const account = await authenticate(body);
    if (!account) return [401, {}];
    const client = await provider.Client.find('camera-app');
    const token = new provider.AccessToken({ accountId: account.id, client, scope: 'sdk-token' });
    const answer = { access_token: await token.save(), expires_in: token.expiration };
    // The account may have been deleted since its password was checked.
    if (accountById(account.id)) return [200, answer];
    await token.destroy();
    return [401, {}];
  },
  'POST /logout': async ({ token, uniqueId }) => {
    await token.destroy();
    await deleteAtBroker(`${token.accountId}/terminals/${encodeURIComponent(uniqueId)}`);
    return [204];
  },
  'DELETE /account': async ({ token }) => {
    await deleteAccount({ id: token.accountId });
    return [204];
  },
};
const NEEDS_NO_SESSION = /healthz|register|login/;

provider.use(async (context, next) => {
  const call = `${context.method} ${context.path}`;
  if (!Object.hasOwn(calls, call)) return next();
  const token = await provider.AccessToken.find(context.get('authorization').replace(/^Bearer /, ''));
  const isLoggedIn = token?.isValid && accountById(token.accountId);
  const body = context.method === 'POST' && context.is('json') ? await json(context.req).catch(() => {}) : {};
  const { uniqueId } = context.query;
  const { [call]: answer } = calls;
  [context.status, context.body] =
    isLoggedIn || NEEDS_NO_SESSION.test(call) ? await answer({ body: body ?? {}, token, uniqueId }) : [401, {}];
});

provider.listen(PORT, '127.0.0.1');
