import { randomUUID } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import type { Announcement } from '../../../../src/token/ports.ts';
import { accountId } from '../../../../src/token/subject.ts';
import { eventually } from '../../../support/eventually.ts';
import { openRedisStore } from '../../../support/filled-store.ts';

/** Brokers with one key prefix, each in a database of one Redis. */
function inDatabases() {
  const keyPrefix = `databases-${randomUUID()}`;
  const urlOf = (database: number) => Object.assign(new URL(inject('redisUrl')), { pathname: `/${database}` }).href;
  const open = async (database: number) => {
    const store = await openRedisStore(urlOf(database), keyPrefix, []);
    const heard: Announcement[] = [];
    store.announcements.subscribe((announcement) => void heard.push(announcement));
    await eventually(() => expect(store.announcements.completeSince()).toBeDefined());
    return { store, heard };
  };
  return { open };
}

test.each([
  [0, 1],
  [1, 0],
  [1, 2],
])('a broker in database %i hears those of its own database, and not those of database %i', async (own, foreign) => {
  const { open } = inDatabases();
  const [one, same, other] = [await open(own), await open(own), await open(foreign)];
  await other.store.accounts.erase('foreign');
  await same.store.accounts.erase('alice');
  await eventually(() => expect(one.heard).toHaveLength(1));
  expect(one.heard).toMatchObject([{ kind: 'erased', account: accountId('alice') }]);
  expect(other.heard).toMatchObject([{ kind: 'erased', account: accountId('foreign') }]);
});
