// The smallest cloud for SESSION_MODE=forward, with one account. Its sessions are cookies. docs/get-started.md runs it.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

const SESSION_SECONDS = 30 * 86_400;
// Use your session store instead, for example Redis. A restart ends the sessions of this map.
const sessions = new Map();

/** Call it after your login has checked the user. */
function newSession(account) {
  const id = randomBytes(32).toString('base64url');
  const now = Math.floor(Date.now() / 1_000);
  sessions.set(id, { sub: account.id, region: account.country, iat: now, exp: now + SESSION_SECONDS });
  return id;
}

/** The session of the cookie, or why there is none. */
function sessionOf({ headers }) {
  const [, id] = /(?:^|; )sid=([^;]*)/.exec(headers.cookie ?? '') ?? [];
  if (id === undefined) return { problem: 'no cookie sid' };
  const session = sessions.get(id);
  if (session === undefined) return { problem: 'unknown session' };
  return session.exp > Date.now() / 1_000 ? { session } : { problem: 'expired session' };
}

createServer((request, response) => {
  response.setHeader('cache-control', 'no-store');
  response.setHeader('content-type', 'application/json');
  switch (`${request.method} ${request.url}`) {
    case 'GET /whoami': {
      // only the broker calls this
      const { session, problem } = sessionOf(request);
      if (problem) console.log(`401: ${problem}`);
      if (!session) return response.writeHead(401).end();
      return response.end(JSON.stringify(session));
    }
    case 'POST /login': {
      // check the password here
      const id = newSession({ id: '7f3c9a', country: 'DE' });
      // With HTTPS, add: Secure
      response.setHeader('set-cookie', `sid=${id}; Path=/; Max-Age=${SESSION_SECONDS}; HttpOnly; SameSite=Lax`);
      return response.writeHead(204).end();
    }
    default:
      return response.writeHead(404).end();
  }
}).listen(3002, '127.0.0.1', () => console.log('The cloud listens at http://127.0.0.1:3002'));
