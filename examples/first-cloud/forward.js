// The smallest cloud for SESSION_MODE=forward. Its sessions are cookies. It has one account: docs/get-started.md uses it.
// docs: forward
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

const SESSION_SECONDS = 30 * 86_400;
// Yours are in a database, so that a restart does not end them.
const sessions = new Map();

/** The session of the cookie `sid`. `undefined`: there is none, or it has ended. */
function sessionIn({ headers }) {
  const [, sid] = /(?:^|;\s*)sid=([^;]*)/.exec(headers.cookie ?? '') ?? [];
  const session = sessions.get(sid);
  return session && session.exp > Date.now() / 1000 ? session : undefined;
}

createServer((request, response) => {
  switch (`${request.method} ${request.url}`) {
    case 'POST /login': {
      // Check the password here.
      const sid = randomBytes(32).toString('base64url');
      const iat = Math.floor(Date.now() / 1000);
      sessions.set(sid, { sub: '7f3c9a', region: 'DE', iat, exp: iat + SESSION_SECONDS });
      const cookie = `sid=${sid}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${SESSION_SECONDS}`;
      return response.writeHead(204, { 'set-cookie': cookie }).end();
    }
    case 'GET /whoami': {
      // The broker asks this with the app's cookie. Never answer with a redirect to a login page.
      const session = sessionIn(request);
      if (!session) return response.writeHead(401).end();
      return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(session));
    }
    default:
      return response.writeHead(404).end();
  }
}).listen(3002, '127.0.0.1');
// docs end
