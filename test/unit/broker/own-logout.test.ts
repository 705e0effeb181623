import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { accessTokenOf } from '../../support/served-token.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** A replica that hears no announcement, not even its own, and has the token of the phone in memory. */
async function replicaWithToken() {
  const { clock, pass } = virtualClock();
  const memory = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const silence = { subscribe: () => undefined, completeSince: () => undefined };
  const watched = watchedStore({ ...memory, announcements: silence });
  const parts = brokerParts({ clock, store: watched.store });
  const sessionIssuedAt = clock.now();
  const read = async () => {
    const reading = parts.broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt });
    const answer = reading.then(accessTokenOf, ({ code }) => code);
    await pass(0);
    return answer;
  };
  expect(await read()).toBe('token-1');
  await pass(10);
  return { ...parts, watched, read, sessionIssuedAt };
}

describe('without any announcement, a replica that was told of', () => {
  test('the logout of an app serves the token no more, and logs in', async () => {
    const { accounts, cache, read, sessionIssuedAt } = await replicaWithToken();
    await accounts.logOut(SUBJECT, { sessionIssuedAt });
    expect(cache.tokens.find(ID)).toBeUndefined();
    expect(await read()).toBe('token-2');
  });

  test('the logout by an operator serves the token no more, and logs in', async () => {
    const { accounts, cache, read } = await replicaWithToken();
    await accounts.logOut(SUBJECT, 'operator');
    expect(cache.tokens.find(ID)).toBeUndefined();
    expect(await read()).toBe('token-2');
  });

  test('an erasure serves the token no more, and refuses the session', async () => {
    const { accounts, cache, read } = await replicaWithToken();
    await accounts.erase(SUBJECT.unionId);
    expect(cache.tokens.find(ID)).toBeUndefined();
    expect(await read()).toBe('session_invalid');
  });

  test.each(['logout', 'erasure'] as const)('the %s serves the token no more while the store fails', async (kind) => {
    const { accounts, watched, read, sessionIssuedAt } = await replicaWithToken();
    if (kind === 'logout') await accounts.logOut(SUBJECT, { sessionIssuedAt });
    else await accounts.erase(SUBJECT.unionId);
    for (const method of ['read', 'acquire', 'restore'] as const) watched.down.add(method);
    expect(await read()).toBe(kind === 'logout' ? 'token-2' : 'session_invalid');
  });
});
