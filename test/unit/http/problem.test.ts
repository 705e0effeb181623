import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asBrokerError, problemAnswer, problem as problemSchema } from '../../../src/http/problem.ts';
import { BrokerError, ERRORS, type ErrorCode } from '../../../src/token/errors.ts';

const CODES = Object.keys(ERRORS) as ErrorCode[];

describe('problemAnswer', () => {
  it.each(CODES)('answers %s as the contract says', (code) => {
    const { problem, headers } = problemAnswer(new BrokerError(code), 'id-1');
    const { status, title, retryable } = ERRORS[code];
    const type = `urn:sdk-token-broker:problem:${code}`;
    expect(JSON.parse(JSON.stringify(problem))).toEqual({ type, title, status, code, retryable, requestId: 'id-1' });
    expect(problemSchema.safeParse(problem).success).toBe(true);
    expect(headers).toMatchObject({ 'content-type': 'application/problem+json', 'cache-control': 'no-store' });
  });

  it('shows the detail and the vendor code, but not the cause', () => {
    const error = new BrokerError('vendor_rejected', { detail: 'no', vendorCode: 10016, cause: new Error('canary') });
    const { problem } = problemAnswer(error, 'id-1');
    expect(problem).toMatchObject({ detail: 'no', vendorCode: 10016 });
    expect(JSON.stringify(problem)).not.toContain('canary');
  });

  it('sends Retry-After of at least one second with the statuses 429, 503 and 504', () => {
    for (const code of CODES.filter((code) => [429, 503, 504].includes(ERRORS[code].status))) {
      expect(Number(problemAnswer(new BrokerError(code), 'id').headers['retry-after'])).toBeGreaterThanOrEqual(1);
      fc.assert(
        fc.property(fc.double({ min: -10, max: 1e6, noNaN: true }), (retryAfter) => {
          const { headers } = problemAnswer(new BrokerError(code, { retryAfter }), 'id');
          return /^[1-9]\d*$/.test(headers['retry-after'] ?? '') && Number(headers['retry-after']) >= retryAfter;
        }),
      );
    }
  });

  it('sends the Retry-After of the error, and none for other statuses', () => {
    expect(problemAnswer(new BrokerError('internal', { retryAfter: 7 }), 'id').headers['retry-after']).toBe('7');
    expect(problemAnswer(new BrokerError('internal'), 'id').headers).not.toHaveProperty('retry-after');
    expect(problemAnswer(new BrokerError('vendor_rejected'), 'id').headers).not.toHaveProperty('retry-after');
  });
});

describe('asBrokerError', () => {
  it('returns a BrokerError unchanged, even if Fastify has set a status on it', () => {
    const error = Object.assign(new BrokerError('vendor_busy'), { statusCode: 400 });
    expect(asBrokerError(error)).toBe(error);
  });

  it.each([400, 413, 415, 499])(
    'turns a Fastify error of status %i into request_invalid with a detail of its own',
    (statusCode) => {
      const thrown = Object.assign(new Error('canary'), { statusCode, code: 'FST_ERR_CTP_BODY_TOO_LARGE' });
      const error = asBrokerError(thrown);
      expect(error).toMatchObject({
        code: 'request_invalid',
        detail: 'The body is too large',
      });
    },
  );

  it.each([new Error('canary'), Object.assign(new Error('canary'), { statusCode: 503 }), 'canary', undefined, null, 7])(
    'turns everything else into internal and shows nothing of it: %j',
    (thrown) => {
      const error = asBrokerError(thrown);
      expect(error).toMatchObject({ code: 'internal', detail: undefined, cause: thrown });
      expect(error.message).not.toContain('canary');
    },
  );
});
