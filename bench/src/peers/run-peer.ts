import { readFile } from 'node:fs/promises';
import fastify from 'fastify';
import { request } from 'undici';
import { DEMO_APP } from '../../../src/simulator/vendor-simulator.ts';
import { parseAnswer, readToken } from '../../../src/vendor-api/answer.ts';
import { newNonce, prepareLogin } from '../../../src/vendor-api/signed-call.ts';
import { madeUpToken } from '../../../test/support/made-up-tokens.ts';
import { readSubjects } from '../subjects.ts';
import { type Login, type Peer, type PeerParts, peerToken } from './peer.ts';
import { sessionVerifier } from './session-verifier.ts';

const CONCURRENT_READS = 200;

/**
 * Runs the process of a peer. Without arguments it serves. With `fill FILE` it reads every subject in the file once,
 * with made-up tokens instead of logins, and ends. So Redis contains its tokens in the peer's own format.
 */
export async function runPeer(open: (parts: PeerParts) => Peer): Promise<void> {
  const [, , mode, file] = process.argv;
  const env = (name: string): string => process.env[name] ?? '';
  const redisUrl = env('REDIS_URL');
  const verify = await sessionVerifier({
    publicKey: env('SESSION_JWT_PUBLIC_KEY'),
    issuer: env('SESSION_JWT_ISSUER'),
    audience: env('SESSION_JWT_AUDIENCE'),
    algorithm: env('SESSION_JWT_ALGORITHMS'),
  });
  if (mode !== 'fill' || file === undefined) {
    const peer = open({ redisUrl, verify, login: vendorLogin(env('VENDOR_BASE_URL')) });
    return servePeer(peer, { port: Number(env('PORT')), headers: JSON.parse(env('ANSWER_HEADERS')) });
  }
  const peer = open({ redisUrl, verify, login: async () => peerToken(madeUpToken()) });
  const subjects = readSubjects(await readFile(file, 'utf8'));
  for (let at = 0; at < subjects.length; at += CONCURRENT_READS) {
    const batch = subjects.slice(at, at + CONCURRENT_READS);
    await Promise.all(batch.map((subject) => peer.read({ ...subject, region: 'DE' })));
  }
  await peer.close();
}

/** Sends one signed login, without retries and without a login budget. */
function vendorLogin(baseUrl: string): Login {
  const app = { ...DEMO_APP, name: 'default', accessId: DEMO_APP.appId };
  return async ({ unionId, uniqueId, region }) => {
    const sentAt = Date.now();
    const { url, headers, body } = prepareLogin({
      domain: new URL(baseUrl),
      app,
      subject: { app: app.name, unionId, uniqueId },
      region,
      nonce: newNonce(),
      timestamp: Math.floor(sentAt / 1_000),
    });
    const answer = await request(url, { method: 'POST', headers, body });
    const { code, data } = parseAnswer(await answer.body.text());
    if (code !== 0) throw new Error(`the vendor answered with code ${code}`);
    return peerToken(readToken(data, { sentAt, offsetMs: 0 }));
  };
}

interface ServePeerOptions {
  readonly port: number;
  /** Additional headers of every answer, copied from an answer of the broker. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Serves a peer over HTTP like the broker: the same requests, headers and bodies. */
async function servePeer(peer: Peer, { port, headers }: ServePeerOptions): Promise<void> {
  const app = fastify();
  app.get('/readyz', () => ({ status: 'ok' }));
  app.get<{ Querystring: { uniqueId: string } }>('/sdk-token', async (request, reply) => {
    const [, session] = /^bearer +(.+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (session === undefined) return reply.code(401).send({ code: 'session_missing' });
    const account = await peer.verify(session).catch(() => undefined);
    if (account === undefined) return reply.code(401).send({ code: 'session_invalid' });
    const { fields, etag } = await peer.read({ ...account, uniqueId: request.query.uniqueId });
    return reply.headers(headers).header('etag', etag).send(fields);
  });
  await app.listen({ host: '127.0.0.1', port });
}
