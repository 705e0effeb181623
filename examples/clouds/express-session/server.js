// A small cloud. Its sessions are those of express-session.
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import express from 'express';
import session from 'express-session';
import {
  accountById,
  authenticate,
  deleteAccount,
  deleteAtBroker,
  readData,
  register,
  writeData,
} from '../node/accounts.js';

const SESSION_SECONDS = 30 * 86_400;
/** Keeps the sessions in a file. In production, use another store, for example connect-redis. */
class FileStore extends session.Store {
  #sessions = readData('sessions') || {};
  get = (id, done) => done(null, this.#sessions[id] && JSON.parse(this.#sessions[id]));
  set = (id, content, done) => this.#save(id, JSON.stringify(content), done);
  destroy = (id, done) => this.#save(id, undefined, done);
  #save(id, content, done) {
    this.#sessions[id] = content;
    writeData('sessions', this.#sessions);
    done?.();
  }
}

const inSession = ({ session }, method) => promisify(session[method].bind(session))();

const secret = readData('secret') || randomBytes(32).toString('hex');
writeData('secret', secret);
const cookie = { httpOnly: true, sameSite: 'lax', maxAge: SESSION_SECONDS * 1_000 }; // With HTTPS, add: secure: true
const app = express().use(express.json());
app.use(session({ secret, store: new FileStore(), resave: false, saveUninitialized: false, cookie }));

app.get('/healthz', (_request, response) => response.json({}));
app.post('/register', async ({ body = {} }, response) => response.status(await register(body)).json({}));
app.post('/login', async (request, response) => {
  const account = await authenticate(request.body ?? {});
  if (!account) return response.status(401).json({});
  await inSession(request, 'regenerate');
  Object.assign(request.session, { account: account.id, since: Math.floor(Date.now() / 1_000) });
  await inSession(request, 'save');
  // The account may have been deleted since its password was checked.
  if (accountById(account.id)) return response.json({});
  await inSession(request, 'destroy');
  return response.status(401).json({});
});

// All other calls need a session, and the account must still exist.
app.use((request, response, next) => {
  const { account, since } = request.session;
  response.locals.account = since + SESSION_SECONDS > Date.now() / 1_000 && accountById(account);
  return response.locals.account ? next() : response.status(401).json({});
});

// The broker sends the cookie of the app.
app.get('/whoami', ({ session: { since } }, response) => {
  const { id, country } = response.locals.account;
  response.set('cache-control', 'no-store');
  response.json({ sub: id, region: country, iat: since, exp: since + SESSION_SECONDS });
});

app.post('/logout', async (request, response) => {
  await inSession(request, 'destroy');
  await deleteAtBroker(`${response.locals.account.id}/terminals/${encodeURIComponent(request.query.uniqueId)}`);
  response.status(204).end();
});

app.delete('/account', (_request, response) =>
  deleteAccount(response.locals.account).then(() => response.status(204).end()),
);

// The default handler would log parts of the body.
app.use(({ status = 500, stack }, _request, response, _next) => {
  if (status >= 500) process.stderr.write(`${stack}\n`);
  response.status(status).json({});
});

app.listen(process.env.PORT ?? 3000, '127.0.0.1');
