import { describe, expect, it } from 'vitest';
import { accessIdTerminal } from '../../../../src/broker/access-ids.ts';
import { BrokerError } from '../../../../src/token/errors.ts';
import type { Subject } from '../../../../src/token/subject.ts';
import { RECORD } from '../running-app.ts';
import { type InternalSettings, recordingAccounts, startInternalApp } from '../running-internal-app.ts';

const PATH = '/accounts/bob/access-id';
const KNOWN = new Map([['bob', { identity: { accessId: '-42', region: 'FR' }, records: [RECORD] }]]);

async function start(settings: InternalSettings = {}) {
  const asked: { subject: Subject; region: string | undefined }[] = [];
  const accessIds = {
    obtain: async (subject: Subject, region: string | undefined) => {
      asked.push({ subject, region });
      return { accessId: '7', region: 'DE', records: KNOWN.get('bob')?.records };
    },
  };
  return { asked, ...(await startInternalApp({ accessIds, ...settings })) };
}

describe('PUT /accounts/{unionId}/access-id', () => {
  it('answers with the accessId and the country of a known account, whatever the apps, without a login', async () => {
    const { ask, asked } = await start({ apps: ['ios', 'android'], accounts: recordingAccounts(KNOWN).accounts });
    const answer = await ask('PUT', PATH);
    expect(answer).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store' } });
    expect(JSON.parse(answer.body)).toEqual({ accessId: '-42', region: 'FR' });
    expect(asked).toEqual([]);
  });

  it('obtains that of an unknown account, with the country and the app of the request, and shows nothing else', async () => {
    const { ask, asked } = await start({ apps: ['ios', 'android'] });
    expect((await ask('PUT', `${PATH}?app=windows`)).status).toBe(400);
    const answer = await ask('PUT', `${PATH}?regRegion=DE&app=ios`);
    expect(JSON.parse(answer.body)).toEqual({ accessId: '7', region: 'DE' });
    const subject = { app: 'ios', unionId: 'bob', uniqueId: accessIdTerminal('bob') };
    expect(asked).toEqual([{ subject, region: 'DE' }]);
  });

  it('logs in as the only terminal of the account with policy single', async () => {
    const { ask, asked } = await start({ terminalPolicy: 'single' });
    await ask('PUT', PATH);
    expect(asked).toEqual([{ subject: { app: 'default', unionId: 'bob', uniqueId: 'bob' }, region: undefined }]);
  });

  it('does not report a failing store as a missing account', async () => {
    const identify = () => Promise.reject(new BrokerError('store_unavailable'));
    const { ask, asked } = await start({ accounts: { ...recordingAccounts().accounts, identify } });
    expect((await ask('PUT', PATH)).status).toBe(503);
    expect(asked).toEqual([]);
  });
});
