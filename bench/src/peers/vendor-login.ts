import { request } from 'undici';
import { DEMO_APP } from '../../../src/simulator/vendor-simulator.ts';
import { parseAnswer, readToken } from '../../../src/vendor-api/answer.ts';
import { newNonce, prepareLogin } from '../../../src/vendor-api/signed-call.ts';
import type { Login } from './peer.ts';
import { peerToken } from './peer-token.ts';

/** One signed login, answered or failed: no retries, no budget. */
export function vendorLogin(baseUrl: string): Login {
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
