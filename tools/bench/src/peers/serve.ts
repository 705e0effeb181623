// The process of a peer: it answers the same requests as the broker, with the same headers and bodies.
import fastify from 'fastify';
import { importSPKI, jwtVerify } from 'jose';
import { request } from 'undici';
import { DEMO_APP } from '../../../../src/simulator/vendor-simulator.ts';
import { parseAnswer, readToken } from '../../../../src/vendor-api/answer.ts';
import { newNonce, prepareLogin } from '../../../../src/vendor-api/signed-call.ts';
import { asyncCacheDedupe, naive } from './caches.ts';
import { type Peer, type PeerParts, peerToken } from './peer.ts';

const env = (name: string): string => process.env[name] ?? '';
/** Of an answer of the broker. */
const headers = JSON.parse(env('ANSWER_HEADERS'));

const app = fastify();
app.get('/readyz', () => ({ status: 'ok' }));
const [, , name] = process.argv;
serve((name === 'naive' ? naive : asyncCacheDedupe)(await newParts()));
await app.listen({ host: '127.0.0.1', port: Number(env('PORT')) });

function serve({ verify, read }: Peer): void {
  app.get<{ Querystring: { uniqueId: string } }>('/sdk-token', async (request, reply) => {
    const [, session] = /^bearer +(.+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (session === undefined) return reply.code(401).send({ code: 'session_missing' });
    const account = await verify(session).catch(() => undefined);
    if (account === undefined) return reply.code(401).send({ code: 'session_invalid' });
    const { fields, etag } = await read({ ...account, uniqueId: request.query.uniqueId });
    return reply.headers(headers).header('etag', etag).send(fields);
  });
}

async function newParts(): Promise<PeerParts> {
  const algorithms = [env('SESSION_JWT_ALGORITHMS')];
  const rules = { issuer: env('SESSION_JWT_ISSUER'), audience: env('SESSION_JWT_AUDIENCE'), algorithms };
  const key = await importSPKI(env('SESSION_JWT_PUBLIC_KEY'), algorithms[0] ?? '');
  const domain = new URL(env('VENDOR_BASE_URL'));
  const vendorApp = { ...DEMO_APP, name: 'default', accessId: DEMO_APP.appId };
  return {
    redisUrl: env('REDIS_URL'),
    async verify(session) {
      const { sub, region } = (await jwtVerify(session, key, rules)).payload;
      if (typeof sub !== 'string' || typeof region !== 'string') throw new Error('the session lacks a claim');
      return { unionId: sub, region };
    },
    /** Sends one signed login, without retries and without a login budget. */
    async login({ unionId, uniqueId, region }) {
      const sentAt = Date.now();
      const subject = { app: vendorApp.name, unionId, uniqueId };
      const timestamp = Math.floor(sentAt / 1_000);
      const login = prepareLogin({ domain, app: vendorApp, subject, region, nonce: newNonce(), timestamp });
      const answer = await request(login.url, { method: 'POST', headers: login.headers, body: login.body });
      const { code, data } = parseAnswer(await answer.body.text());
      if (code !== 0) throw new Error(`the vendor answered with code ${code}`);
      return peerToken(readToken(data, sentAt, 0));
    },
  };
}
