import { once } from 'node:events';
import { request } from 'node:http';
import { json } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { startVendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import vectors from '../../fixtures/signature-vectors.json' with { type: 'json' };
import { settableClock } from './settable-clock.ts';
import { LOGIN_PATH } from './vendor-login.ts';

test.each(vectors)('accepts the vector for $host, nonce $nonce, over HTTP', async (vector) => {
  const { appId, appToken } = JSON.parse(vector.body) as { appId: string; appToken: string };
  const simulator = await startVendorSimulator({
    apps: [{ appId, appToken, appKey: vector.appKey, accessId: vector.accessId }],
    clock: settableClock(vector.timestamp * 1000),
  });
  try {
    const sent = request({
      port: simulator.port,
      host: '127.0.0.1',
      path: LOGIN_PATH,
      method: 'POST',
      headers: {
        Host: vector.host,
        'Content-Type': 'application/json',
        'X-IotVideo-AccessID': vector.accessId,
        'X-IotVideo-Nonce': vector.nonce,
        'X-IotVideo-Timestamp': vector.timestamp,
        'X-IotVideo-Signature': vector.signature,
      },
    });
    sent.end(vector.body);
    const [response] = await once(sent, 'response');
    expect(await json(response)).toMatchObject({ code: 0 });
  } finally {
    await simulator.close();
  }
});
