import { expect, onTestFinished, test } from 'vitest';
import type { Replica } from '../support/broker-service.ts';
import { type Fleet, startServices } from '../support/fleet.ts';
import { plainRequest } from '../support/plain-request.ts';

const ADMIN_TOKEN = 'two-regions-admin-token';

/** Its sessions are for this region only. */
async function startRegion(audience: string): Promise<Fleet<Replica>> {
  const region = await startServices({ replicas: 1, env: { SESSION_JWT_AUDIENCE: audience, ADMIN_TOKEN } });
  onTestFinished(() => region.close());
  return region;
}

async function read(region: Fleet<Replica>, session: string) {
  const answer = await region.broker(0).getToken(session, 'phone');
  const { code, expand } = JSON.parse(answer.body);
  return { status: answer.status, code, country: expand && JSON.parse(expand).regRegion };
}

test('an account moves to another region by an erasure and a first login, and nothing leads back', async () => {
  const [china, europe] = await Promise.all([startRegion('broker-cn'), startRegion('broker-eu')]);
  const session = (region: Fleet<Replica>, country: string, aud: string) =>
    region.cloud.issueSession({ unionId: 'alice', region: country, claims: { aud } });
  const former = await session(china, 'CN', 'broker-cn');
  expect(await read(china, former)).toMatchObject({ status: 200, country: 'CN' });
  // A session for one region is none in the other, and no login follows.
  expect(await read(europe, former)).toMatchObject({ status: 401, code: 'session_invalid' });
  const wrong = await session(europe, 'DE', 'broker-cn');
  expect(await read(europe, wrong)).toMatchObject({ status: 401, code: 'session_invalid' });
  expect(europe.vendor.state().attempts).toEqual([]);

  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
  const account = `${china.broker(0).adminUrl}/accounts/alice`;
  expect((await plainRequest(account, { method: 'DELETE', headers })).status).toBe(204);
  expect(await read(europe, await session(europe, 'DE', 'broker-eu'))).toMatchObject({ status: 200, country: 'DE' });
  // The country stays the one of the first login.
  expect(await read(europe, await session(europe, 'FR', 'broker-eu'))).toMatchObject({ status: 200, country: 'DE' });
  expect(await read(china, former)).toMatchObject({ status: 401, code: 'session_invalid' });
  expect(china.vendor.loginsOf('alice', 'phone')).toBe(1);
});
