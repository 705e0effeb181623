import { readFile } from 'node:fs/promises';
import { randomToken, readSubjects } from '../subjects.ts';
import type { Peer, PeerParts } from './peer.ts';
import { peerToken } from './peer-token.ts';
import { servePeer } from './serve-peer.ts';
import { vendorLogin } from './vendor-login.ts';
import { sessionVerifier } from './verified-sessions.ts';

/** How many tokens are put in at a time. */
const AT_ONCE = 200;

/**
 * A peer's process. `fill FILE` has it read every subject of the file once, with logins that come from nowhere, and
 * ends: so its tokens stand in Redis as it writes them itself. Without arguments it serves.
 */
export async function runPeer(open: (parts: PeerParts) => Peer): Promise<void> {
  const [, , mode, file] = process.argv;
  const env = (name: string): string => process.env[name] ?? '';
  const redisUrl = env('REDIS_URL');
  const verify = await sessionVerifier({
    publicKey: env('SESSION_JWT_PUBLIC_KEY'),
    issuer: env('SESSION_JWT_ISSUER'),
    audience: env('SESSION_JWT_AUDIENCE'),
  });
  if (mode !== 'fill' || file === undefined) {
    const peer = open({ redisUrl, verify, login: vendorLogin(env('VENDOR_BASE_URL')) });
    return servePeer(peer, { port: Number(env('PORT')), headers: JSON.parse(env('ANSWER_HEADERS')) });
  }
  const peer = open({ redisUrl, verify, login: async () => peerToken(randomToken()) });
  const subjects = readSubjects(await readFile(file, 'utf8'));
  for (let at = 0; at < subjects.length; at += AT_ONCE) {
    await Promise.all(subjects.slice(at, at + AT_ONCE).map((subject) => peer.read({ ...subject, region: 'DE' })));
  }
  await peer.close();
}
