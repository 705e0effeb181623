import { describe, expect, test } from 'vitest';
import { type RenewalRequest, refuseErased, shouldRetryAlone } from '../../../src/broker/requests.ts';
import { BrokerError, type ErrorCode } from '../../../src/token/errors.ts';
import type { Urgency } from '../../../src/token/login-queue.ts';
import type { RenewalCause } from '../../../src/token/observer.ts';
import { subjectId } from '../../../src/token/subject.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };

function request(cause: RenewalCause, region?: string, urgency?: Urgency): RenewalRequest {
  return {
    id: subjectId(SUBJECT),
    subject: SUBJECT,
    region,
    known: undefined,
    cause,
    urgency: urgency ?? (cause === 'background' ? cause : 'foreground'),
    sessionIssuedAt: undefined,
    satisfies: () => true,
  };
}

describe('an erased account', () => {
  test.each([
    { session: 'issued before the erasure', sessionIssuedAt: 999, refused: true },
    { session: 'issued in the same millisecond', sessionIssuedAt: 1_000, refused: true },
    { session: 'issued after the erasure', sessionIssuedAt: 1_001, refused: false },
    { session: 'without an issue time', sessionIssuedAt: undefined, refused: true },
  ])('refuses a session $session: $refused', ({ sessionIssuedAt, refused }) => {
    const refuse = () => refuseErased({ sessionIssuedAt }, 1_000);
    if (refused)
      expect(refuse).toThrow(
        expect.objectContaining({ code: 'session_invalid', detail: expect.stringContaining('erased') }),
      );
    else expect(refuse).not.toThrow();
  });

  test('is no concern of an account that was never erased', () => {
    expect(() => refuseErased({ sessionIssuedAt: undefined }, undefined)).not.toThrow();
  });
});

describe('a request that waited for a request that failed', () => {
  const retries = (waiting: RenewalRequest, failed: RenewalCause | undefined, code: ErrorCode) =>
    shouldRetryAlone(waiting, failed && request(failed), new BrokerError(code));

  test('tries by itself if only the failed request had no country', () => {
    expect(retries(request('new', 'CN'), 'new', 'request_invalid')).toBe(true);
    expect(retries(request('new'), 'new', 'request_invalid')).toBe(false);
  });

  test('tries by itself if the session of the failed request was not valid', () => {
    expect(retries(request('new'), 'new', 'session_invalid')).toBe(true);
  });

  test.each([
    ['new', 'due', true],
    ['refused', 'due', true],
    ['due', 'due', false],
    ['new', 'new', false],
    ['new', undefined, false],
  ] as const)('during an outage of the store, %s after %s: tries by itself: %s', (waiting, failed, expected) => {
    expect(retries(request(waiting), failed, 'store_unavailable')).toBe(expected);
  });

  test.each([
    ['vendor_busy', 'due', 'background', true],
    ['session_forbidden', 'new', 'background', true],
    ['vendor_busy', 'background', 'background', false],
    ['vendor_busy', 'due', 'due', false],
    ['session_forbidden', 'new', 'new', false],
    ['vendor_busy', 'due', undefined, false],
    ['session_forbidden', 'background', 'background', false],
    ['session_forbidden', 'new', undefined, false],
  ] as const)('after %s, %s after %s: tries by itself: %s', (code, waiting, failed, expected) => {
    expect(retries(request(waiting), failed, code)).toBe(expected);
  });

  test.each([
    ['foreground', true],
    ['background', false],
  ] as const)(
    'after a renewal in the background that found no place, a %s one tries by itself: %s',
    (urgency, expected) => {
      const failed = request('due', 'CN', 'background');
      expect(shouldRetryAlone(request('due', 'CN', urgency), failed, new BrokerError('vendor_busy'))).toBe(expected);
    },
  );

  test('does not repeat a login that the vendor failed, or that failed by a defect', () => {
    expect(retries(request('new', 'CN'), 'background', 'vendor_timeout')).toBe(false);
    expect(shouldRetryAlone(request('new', 'CN'), request('background'), new Error('defect'))).toBe(false);
  });
});
