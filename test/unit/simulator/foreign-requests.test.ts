import { describe, expect, onTestFinished, test } from 'vitest';
import { startCustomerCloud } from '../../../src/simulator/customer-cloud.ts';
import { startVendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import { plainRequest } from '../../support/plain-request.ts';

const CHANGES = [
  ['the fault of the vendor', startVendorSimulator, '/simulator/configure', '{"fault":"hang"}'],
  ['a login', startCustomerCloud, '/login', '{"account":"alice","password":"alice"}'],
] as const;

const FOREIGN = [
  ['sent by a page of another site', { 'sec-fetch-site': 'cross-site' }],
  ['sent by a page of another origin', { origin: 'https://evil.example' }],
  ['under a name that was rebound to this address', { host: 'evil.example' }],
] as const;

describe.each(CHANGES)('%s', (_, start, path, body) => {
  test.each(FOREIGN)('is refused if it is %s', async (_how, headers) => {
    const simulator = await start();
    onTestFinished(() => simulator.close());
    const send = (more: Readonly<Record<string, string>>) =>
      plainRequest(simulator.url + path, { method: 'POST', body, headers: { 'content-type': 'text/plain', ...more } });
    expect((await send(headers)).status).toBe(403);
    for (const host of ['localhost:1', '[::1]', '10.0.0.1:8081', 'simulator:8081']) {
      expect((await send({ host })).status).toBe(200);
    }
  });
});

test('the logins of a simulated vendor cannot be read under a rebound name', async () => {
  const vendor = await startVendorSimulator();
  onTestFinished(() => vendor.close());
  const read = (host: string) => plainRequest(`${vendor.url}/simulator/state`, { headers: { host } });
  expect((await read('evil.example')).status).toBe(403);
  expect((await read('127.0.0.1')).status).toBe(200);
});
