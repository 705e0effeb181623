import { describe, expect, test } from 'vitest';
import { type RenewalRequest, refuseEnded, shouldRetryAlone } from '../../../src/broker/requests.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Urgency } from '../../../src/token/login-queue.ts';
import type { RenewalCause } from '../../../src/token/observer.ts';
import { renewalRequest } from '../../support/broker-parts.ts';

const request = (cause: RenewalCause, region?: string, urgency?: Urgency): RenewalRequest =>
  renewalRequest({ cause, region, ...(urgency && { urgency }) });

describe('an erased account', () => {
  test.each([
    ['issued before the erasure', 999, 1_000, 'erased after the session was issued'],
    ['issued in the same millisecond', 1_000, 1_000, 'erased after the session was issued'],
    ['issued after the erasure', 1_001, 1_000, undefined],
    ['without an issue time', undefined, 1_000, 'no time of issue, .* SESSION_CLAIM_ISSUED_AT$'],
    ['without an issue time, although there was no erasure', undefined, undefined, undefined],
  ])('and a session %s: %s, %s: %s', (_, sessionIssuedAt, erasedAt, detail) => {
    const refuse = () => refuseEnded({ sessionIssuedAt }, erasedAt);
    const refusal = { code: 'session_invalid', detail: expect.stringMatching(detail ?? '') };
    if (detail === undefined) expect(refuse).not.toThrow();
    else expect(refuse).toThrow(expect.objectContaining(refusal));
  });
});

describe('a request that waited for a request that failed', () => {
  test.each([
    ['request_invalid', 'new', 'new', 'CN', true],
    ['request_invalid', 'new', 'new', undefined, false],
    ['session_invalid', 'new', 'new', undefined, true],
    ['store_unavailable', 'new', 'due', undefined, true],
    ['store_unavailable', 'refused', 'due', undefined, true],
    ['store_unavailable', 'due', 'due', undefined, false],
    ['store_unavailable', 'new', 'new', undefined, false],
    ['store_unavailable', 'new', undefined, undefined, false],
    ['vendor_busy', 'due', 'background', undefined, true],
    ['vendor_busy', 'background', 'background', undefined, false],
    ['vendor_busy', 'due', 'due', undefined, false],
    ['vendor_busy', 'due', undefined, undefined, false],
    ['session_forbidden', 'new', 'background', undefined, true],
    ['session_forbidden', 'new', 'new', undefined, false],
    ['session_forbidden', 'background', 'background', undefined, false],
    ['session_forbidden', 'new', undefined, undefined, false],
    ['vendor_timeout', 'new', 'background', 'CN', false],
  ] as const)('after %s, %s after %s, of the country %s: tries by itself: %s', (...one) => {
    const [code, waiting, failed, region, expected] = one;
    const error = new BrokerError(code);
    expect(shouldRetryAlone(request(waiting, region), failed && request(failed), error)).toBe(expected);
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

  test('does not repeat a login that failed by a defect', () => {
    expect(shouldRetryAlone(request('new', 'CN'), request('background'), new Error('defect'))).toBe(false);
  });
});
