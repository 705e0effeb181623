import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../../src/token/errors.ts';
import { brokerParts, PHONE_ID as ID, PHONE, tokenOrCode } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { replacedStore } from '../../support/replaced-store.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const MINUTE_MS = 60_000;

/**
 * A replica whose store loses its data.
 * @param isConfirmed whether the store has confirmed the token to this replica, before the loss
 */
async function beforeLoss({ isConfirmed }: { readonly isConfirmed: boolean }) {
  const { clock, pass } = virtualClock();
  const { store, replace } = replacedStore(clock);
  const watched = watchedStore(store);
  const { broker, cache, vendor } = brokerParts({ clock, store: watched.store });
  vendor.lifeMs = 600 * MINUTE_MS;
  const read = async () => {
    const answer = tokenOrCode(broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now() }));
    await pass(0);
    return answer;
  };
  // A write without a lease confirms nothing.
  if (!isConfirmed) watched.down.add('acquire');
  expect(await read()).toBe('token-1');
  expect(Number.isFinite(cache.tokens.find(ID)?.checkedAt)).toBe(isConfirmed);
  const lose = () => {
    watched.down.clear();
    replace();
  };
  return { pass, vendor, watched, read, lose };
}

describe('after the store has lost its data, a token from memory', () => {
  test('is restored if its login was sent less than half an hour ago, although the store never confirmed it', async () => {
    const { pass, read, lose, vendor } = await beforeLoss({ isConfirmed: false });
    lose();
    await pass(29 * MINUTE_MS);
    expect(await read()).toBe('token-1');
    expect(vendor.requests).toHaveLength(1);
  });

  test('is restored if the store confirmed it less than half an hour ago, although its login is older', async () => {
    const { pass, read, lose, vendor } = await beforeLoss({ isConfirmed: true });
    await pass(25 * MINUTE_MS);
    expect(await read()).toBe('token-1');
    await pass(25 * MINUTE_MS);
    lose();
    expect(await read()).toBe('token-1');
    expect(vendor.requests).toHaveLength(1);
  });

  test('is dropped and served no more if both are older: the store may have lost a logout', async () => {
    const { pass, read, lose, vendor, watched } = await beforeLoss({ isConfirmed: true });
    await pass(31 * MINUTE_MS);
    lose();
    vendor.failure = new BrokerError('vendor_rejected');
    expect(await read()).toBe('vendor_rejected');
    watched.down.add('read');
    expect(await read()).toBe('vendor_rejected');
    vendor.failure = undefined;
    expect(await read()).toBe('token-4');
  });
});
