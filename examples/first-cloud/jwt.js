// The smallest cloud for SESSION_MODE=jwt. It has one account: docs/get-started.md uses it.
// docs: jwt
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { calculateJwkThumbprint, exportJWK, SignJWT } from 'jose';

// The key is in a file, because every restart with a new key ends all sessions. Keep yours where you keep secrets.
const KEY_FILE = 'session-key.pem';
if (!existsSync(KEY_FILE)) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(KEY_FILE, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
}
const privateKey = createPrivateKey(readFileSync(KEY_FILE));
const publicKey = await exportJWK(createPublicKey(privateKey));
// The name of the key depends on the key, so a new key never has the name of an old one.
const kid = await calculateJwkThumbprint(publicKey);

/** Issues a session for a user that your own login has recognized. */
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
      return response.end(JSON.stringify({ keys: [{ ...publicKey, kid, alg: 'ES256', use: 'sig' }] }));
    case 'POST /login': // check the password here
      return response.end(JSON.stringify({ session: await sessionOf({ id: '7f3c9a', country: 'DE' }) }));
    default:
      return response.writeHead(404).end();
  }
}).listen(3000, '127.0.0.1');
// docs end
