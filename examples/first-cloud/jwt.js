// The smallest cloud for SESSION_MODE=jwt, with one account. docs/get-started.md runs it.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { calculateJwkThumbprint, exportJWK, importPKCS8, SignJWT } from 'jose';

const privateKey = await importPKCS8(await readFile('session-key.pem', 'utf8'), 'ES256', { extractable: true });
const { d: _private, ...publicKey } = await exportJWK(privateKey);
// The id is a digest of the key, so another key always has another id.
const kid = await calculateJwkThumbprint(publicKey);
const jwks = { keys: [{ ...publicKey, kid, alg: 'ES256', use: 'sig' }] };

/** Call it after your login has checked the user. */
function sessionOf(account) {
  return new SignJWT({ region: account.country })
    .setProtectedHeader({ alg: 'ES256', kid })
    .setIssuer('https://accounts.example')
    .setAudience('sdk-token-broker')
    .setSubject(account.id)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(privateKey);
}

createServer(async (request, response) => {
  response.setHeader('content-type', 'application/json');
  switch (`${request.method} ${request.url}`) {
    case 'GET /.well-known/jwks.json':
      return response.end(JSON.stringify(jwks));
    case 'POST /login': // check the password here
      return response.end(JSON.stringify({ session: await sessionOf({ id: '7f3c9a', country: 'DE' }) }));
    default:
      return response.writeHead(404).end();
  }
}).listen(3000, '127.0.0.1', () => console.log('The cloud listens at http://127.0.0.1:3000'));
