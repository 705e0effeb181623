import { describe, expect, it } from 'vitest';
import type { ReadRequest } from '../../../src/broker/requests.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { plainRequest } from '../../support/plain-request.ts';
import { SESSION, servedToken, startApp } from './running-app.ts';

const authorization = `Bearer ${SESSION}`;

/** The public app with a broker that records the refused tags. */
async function startRecording(error?: BrokerError) {
  const refused: (string | undefined)[] = [];
  const read = async (request: ReadRequest) => {
    refused.push(request.refused);
    if (error) throw error;
    return servedToken();
  };
  const { origin } = await startApp({ tokens: { read } });
  const ask = (headers: Record<string, string>) =>
    plainRequest(`${origin}/sdk-token?uniqueId=a`, { headers: { authorization, ...headers } });
  return { ask, refused };
}

describe('If-None-Match with Cache-Control: no-cache', () => {
  it('reports the refused token to the broker, and never gets 304', async () => {
    const { ask, refused } = await startRecording();
    const { etag, body } = servedToken();
    for (const tag of ['"older"', etag, `W/${etag}`]) {
      const answer = await ask({ 'if-none-match': tag, 'cache-control': 'no-cache' });
      expect(answer.status).toBe(200);
      expect(answer.headers.etag).toBe(etag);
      expect(answer.body).toBe(body);
    }
    expect(refused).toEqual(['"older"', etag, etag]);
  });

  it('reports nothing if one of the two headers is missing', async () => {
    const { ask, refused } = await startRecording();
    const { etag } = servedToken();
    expect((await ask({ 'if-none-match': etag })).status).toBe(304);
    expect((await ask({ 'if-none-match': etag, 'cache-control': 'max-age=0' })).status).toBe(304);
    expect((await ask({ 'if-none-match': '*' })).status).toBe(304);
    expect((await ask({ 'cache-control': 'no-cache' })).status).toBe(200);
    expect(refused).toEqual([undefined, undefined, undefined, undefined]);
  });

  it("gets the broker's error if there is no newer token", async () => {
    const { ask } = await startRecording(new BrokerError('rate_limited', { retryAfter: 9 }));
    const answer = await ask({ 'if-none-match': '"a"', 'cache-control': 'no-cache' });
    expect(answer.status).toBe(429);
    expect(answer.headers['retry-after']).toBe('9');
  });
});
