import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../../src/token/errors.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { principal, recordingTokens, startApp, UNION_ID } from './running-app.ts';

const headers = { authorization: 'Bearer session' };
const APPS = ['ios', 'android'] as const;

/** The public app with two apps, and a session whose principal is the same object at each request, as in the cache. */
async function startWithTwoApps() {
  const caller = principal();
  const { reads, tokens } = recordingTokens();
  const accounts = { logOut: () => Promise.reject(new BrokerError('session_invalid')) };
  const started = await startApp({ tokens, accounts, apps: APPS, sessions: { verify: async () => caller } });
  const request = async (method: 'GET' | 'DELETE', query: string) =>
    (await fetch(`${started.origin}/sdk-token?${query}`, { method, headers })).status;
  return { ...started, reads, request };
}

describe('a session that asks for the same terminal as another app than before', () => {
  it('gets the token of that app, and of the first one again afterwards', async () => {
    const { request, reads } = await startWithTwoApps();
    for (const app of ['ios', 'android', 'ios']) expect(await request('GET', `uniqueId=phone&app=${app}`)).toBe(200);
    expect(reads.map(({ subject }) => subject.app)).toEqual(['ios', 'android', 'ios']);
    const ids = reads.map(({ id }) => id);
    expect(ids).toEqual(
      ['ios', 'android', 'ios'].map((app) => subjectId({ app, unionId: UNION_ID, uniqueId: 'phone' })),
    );
  });

  it('gets the token of each terminal, too', async () => {
    const { request, reads } = await startWithTwoApps();
    for (const uniqueId of ['phone', 'tablet']) await request('GET', `uniqueId=${uniqueId}&app=ios`);
    expect(reads.map(({ subject }) => subject.uniqueId)).toEqual(['phone', 'tablet']);
  });

  it('is not named in the log as the former app, if its request is refused before the app is known', async () => {
    const { request, log } = await startWithTwoApps();
    expect(await request('GET', 'uniqueId=phone&app=ios')).toBe(200);
    expect(await request('GET', 'uniqueId=phone&app=other')).toBe(400);
    const [refused] = log().filter(({ msg }) => msg === 'request refused');
    expect(refused).toMatchObject({ code: 'request_invalid' });
    expect(refused).not.toHaveProperty('subject');
  });
});
