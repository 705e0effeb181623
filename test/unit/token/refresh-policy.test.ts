import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  dueAt,
  isRenewedInBackground,
  type RefreshPolicy,
  refreshAt,
  renewAt,
} from '../../../src/token/renewal-timing.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { tokenRecord } from './records.ts';

const PROACTIVE: RefreshPolicy = { mode: 'proactive', share: { from: 0.7, to: 0.9 }, unreadLimit: 3 };
const ON_DEMAND: RefreshPolicy = { ...PROACTIVE, mode: 'on-demand' };

describe('a record', () => {
  test('that was read is renewed unasked, however often it went unread before', () => {
    fc.assert(
      fc.property(fc.nat(255), (unreadRenewals) => {
        expect(isRenewedInBackground(tokenRecord({ read: true, unreadRenewals }), PROACTIVE)).toBe(true);
      }),
    );
  });

  test.each([0, 1, 2])('unread over %i renewals is renewed unasked under a limit of 3', (unreadRenewals) => {
    expect(isRenewedInBackground(tokenRecord({ unreadRenewals }), PROACTIVE)).toBe(true);
  });

  test.each([3, 4, 255])('unread over %i renewals is let go under a limit of 3', (unreadRenewals) => {
    expect(isRenewedInBackground(tokenRecord({ unreadRenewals }), PROACTIVE)).toBe(false);
  });

  test('is never renewed unasked on demand', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.nat(255), (read, unreadRenewals) => {
        expect(isRenewedInBackground(tokenRecord({ read, unreadRenewals }), ON_DEMAND)).toBe(false);
      }),
    );
  });

  test('is due when it is to be renewed if that happens unasked, else when its token ends', () => {
    const kept = tokenRecord({ read: true });
    const idle = tokenRecord({ unreadRenewals: 3 });
    expect(dueAt(kept, PROACTIVE)).toBe(refreshAt(kept, PROACTIVE));
    expect(dueAt(kept, PROACTIVE)).toBeLessThan(kept.token.expiresAt);
    expect(dueAt(idle, PROACTIVE)).toBe(idle.token.expiresAt);
    expect(dueAt(kept, ON_DEMAND)).toBe(kept.token.expiresAt);
  });

  test('is refreshed at the instant of its own subject and generation, on demand too', () => {
    const record = tokenRecord();
    const id = subjectId(record.subject);
    for (const policy of [PROACTIVE, ON_DEMAND]) {
      expect(refreshAt(record, policy)).toBe(renewAt(record.token, policy.share, id, record.generation));
    }
    expect(refreshAt({ ...record, generation: record.generation + 1 }, PROACTIVE)).not.toBe(
      refreshAt(record, PROACTIVE),
    );
  });
});
