import { expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import type { Subject } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';
import { accessTokenOf } from '../../support/served-token.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };

/** Two replicas with one store. Only the commands of the second one are counted, and fail. */
function createReplicas() {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const vendor = new ScriptedLogin(clock);
  const watched = watchedStore(store);
  const [other, replica] = [
    brokerParts({ clock, store, vendor }),
    brokerParts({ clock, store: watched.store, vendor }),
  ];
  const read = async ({ broker }: typeof replica, refused?: string, subject = SUBJECT) => {
    const reading = broker.read({ subject, region: 'CN', sessionIssuedAt: clock.now(), refused });
    await pass(1);
    return reading;
  };
  return { pass, other, replica, read, watched, vendor };
}

test('a replica has the token of a login of another one before the store fails', async () => {
  const { pass, other, replica, read, watched } = createReplicas();
  const { etag } = await read(replica);
  await read(other);
  await read(other, etag);
  await pass(200);
  for (const method of ['read', 'acquire', 'restore', 'markRead'] as const) watched.down.add(method);
  expect(accessTokenOf(await read(replica))).toBe('token-2');
});

test('a replica reads a replaced token once, none of its own logins, and none that no app has asked it for', async () => {
  const { pass, other, replica, read, watched } = createReplicas();
  let { etag } = await read(replica);
  ({ etag } = await read(replica, etag));
  await pass(200);
  const before = watched.calls('read');
  await read(other, undefined, { ...SUBJECT, uniqueId: 'tablet' });
  await pass(200);
  expect(watched.calls('read')).toBe(before);
  ({ etag } = await read(other, etag));
  await read(other, etag);
  await pass(200);
  expect(watched.calls('read')).toBe(before + 1);
});
