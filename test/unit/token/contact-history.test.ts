import { expect, test } from 'vitest';
import { ContactHistory } from '../../../src/token/contact-history.ts';
import { TestClock } from '../../support/test-clock.ts';

test('a system fails since the first failure after its last success', () => {
  const clock = new TestClock();
  const contact = new ContactHistory(clock);
  expect(contact.failingSince).toBeUndefined();
  clock.advance(10);
  contact.failed({ at: 1_000, reason: 'timeout' });
  clock.advance(20);
  contact.failed({ at: 2_000, reason: 'reset' });
  expect(contact).toMatchObject({ failingSince: 1_000, failingSinceMonotonic: 10, failedMonotonic: 30 });
  expect(contact.lastFailure).toEqual({ at: 2_000, reason: 'reset' });
  contact.succeeded(3_000);
  expect(contact.failingSince).toBeUndefined();
  clock.advance(40);
  contact.failed({ at: 4_000, reason: 'timeout' });
  expect(contact).toMatchObject({ failingSince: 4_000, failingSinceMonotonic: 70, failedMonotonic: 70 });
});

test('a refusal neither ends an outage nor gives it another reason, until the system is known to work', () => {
  const contact = new ContactHistory(new TestClock());
  contact.failed({ at: 1_000, reason: 'timeout' });
  contact.refused({ at: 2_000, reason: 'readonly' });
  expect(contact).toMatchObject({ failingSince: 1_000, failures: 1, lastFailure: { reason: 'timeout' } });
  contact.works();
  expect(contact).toMatchObject({ failingSince: undefined, failures: 0, lastSuccessAt: undefined });
  expect(contact.lastRefusal).toEqual({ at: 2_000, reason: 'readonly' });
});
