import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { accessTokenOf } from '../../support/served-token.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const MINUTE_MS = 60_000;

/**
 * A replica whose store has lost its data.
 * @param isConfirmed whether the store has confirmed the token to this replica, before the loss
 */
async function afterLoss({ isConfirmed }: { readonly isConfirmed: boolean }) {
  const { clock, pass } = virtualClock();
  const memory = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const watched = watchedStore(memory);
  const parts = brokerParts({ clock, store: watched.store });
  parts.vendor.lifeMs = 600 * MINUTE_MS;
  const read = async () => {
    const reading = parts.broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: clock.now() });
    reading.catch(() => undefined);
    await pass(0);
    return accessTokenOf(await reading);
  };
  // A write without a lease confirms nothing.
  if (!isConfirmed) watched.down.add('acquire');
  expect(await read()).toBe('token-1');
  expect(Number.isFinite(parts.cache.tokens.find(ID)?.checkedAt)).toBe(isConfirmed);
  /** From now on, the store has no data. It takes what is written back. */
  const lose = () => {
    watched.down.clear();
    const empty = createMemoryStore({ clock, terminalsPerAccount: 20 });
    Object.assign(memory.terminals, {
      read: (id: typeof ID) => empty.terminals.read(id),
      acquire: (id: typeof ID, durationMs: number) => empty.terminals.acquire(id, durationMs),
      restore: empty.terminals.restore.bind(empty.terminals),
      save: empty.terminals.save.bind(empty.terminals),
      release: empty.terminals.release.bind(empty.terminals),
    });
  };
  return { ...parts, clock, pass, watched, read, lose };
}

describe('after the store has lost its data, a token from memory', () => {
  test('is restored if its login was sent less than half an hour ago, although the store never confirmed it', async () => {
    const { pass, read, lose, vendor } = await afterLoss({ isConfirmed: false });
    lose();
    await pass(29 * MINUTE_MS);
    expect(await read()).toBe('token-1');
    expect(vendor.requests).toHaveLength(1);
  });

  test('is restored if the store confirmed it less than half an hour ago, although its login is older', async () => {
    const { pass, read, lose, vendor } = await afterLoss({ isConfirmed: true });
    await pass(25 * MINUTE_MS);
    expect(await read()).toBe('token-1');
    await pass(25 * MINUTE_MS);
    lose();
    expect(await read()).toBe('token-1');
    expect(vendor.requests).toHaveLength(1);
  });

  test('is dropped if the login and the last confirmation are older: the store may have lost a logout', async () => {
    const { pass, read, lose, vendor } = await afterLoss({ isConfirmed: true });
    await pass(31 * MINUTE_MS);
    lose();
    expect(await read()).toBe('token-2');
    expect(vendor.requests).toHaveLength(2);
  });

  test('that was dropped is served no more, not even if the login fails and the store fails too', async () => {
    const { pass, read, lose, vendor, watched } = await afterLoss({ isConfirmed: true });
    await pass(31 * MINUTE_MS);
    lose();
    vendor.failure = new BrokerError('vendor_rejected');
    await expect(read()).rejects.toMatchObject({ code: 'vendor_rejected' });
    watched.down.add('read');
    await expect(read()).rejects.toMatchObject({ code: 'vendor_rejected' });
  });
});
