import { describe, expect, it } from 'vitest';
import { rateLimit } from '../../../src/http/account-limit.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { type AccountId, accountId } from '../../../src/token/subject.ts';
import { plainRequest } from '../../support/plain-request.ts';
import { type AppSettings, principal, startApp } from './running-app.ts';

/** The public app with a broker that counts its calls. The bearer token of a session is the unionId. */
async function startCounting(settings: AppSettings) {
  let reads = 0;
  const app = await startApp({
    sessions: {
      verify: async (session) => {
        if (session === 'nobody') throw new BrokerError('session_invalid');
        return principal({ unionId: session });
      },
    },
    accounts: {
      logOut: async () => {
        reads++;
      },
    },
    tokens: {
      read: async () => {
        reads++;
        throw new BrokerError('vendor_rejected');
      },
    },
    ...settings,
  });
  const ask = (account: string, { method = 'GET', query = 'uniqueId=a', forwarded = '203.0.113.1' } = {}) =>
    plainRequest(`${app.origin}/sdk-token?${query}`, {
      method,
      headers: { authorization: `Bearer ${account}`, 'x-forwarded-for': forwarded },
    });
  return { ask, reads: () => reads };
}

describe('the memory of the limit', () => {
  const others = Array.from({ length: 100_000 }, (_, number) => accountId(`other-${number}`));

  it('still refuses an account that goes on asking, after more accounts than it has room for', () => {
    const limit = rateLimit(2);
    const alice = accountId('alice');
    for (let request = 0; request < 2; request += 1) expect(limit(alice)).toBeUndefined();
    for (let round = 0; round < 5; round += 1) {
      expect(others.slice(20_000 * round, 20_000 * (round + 1)).filter((other) => limit(other) !== undefined)).toEqual(
        [],
      );
      expect(limit(alice)).toBeGreaterThanOrEqual(1);
    }
  });

  it('gives each of 30,000 accounts an allowance of its own', () => {
    const limit = rateLimit(2);
    const many = others.slice(0, 30_000);
    for (const expected of [many, many, []])
      expect(many.filter((other) => limit(other) === undefined)).toEqual(expected);
  });

  it('is bounded: of more accounts, the one that has asked for nothing for longest starts again', () => {
    const limit = rateLimit(1);
    for (const other of others.slice(0, 30_001)) limit(other);
    expect(others.slice(0, 2).map((other) => limit(other))).toEqual([undefined, undefined]);
    expect(limit(others[30_000] as AccountId)).toBeGreaterThanOrEqual(1);
  });
});

describe('the limit of an account', () => {
  it('allows exactly that many requests, then refuses with Retry-After and without other headers', async () => {
    const { ask, reads } = await startCounting({ readsPerMinute: 3 });
    for (let i = 0; i < 3; i++) expect((await ask('alice')).status).toBe(502);
    const { status, headers, body } = await ask('alice');
    expect(status).toBe(429);
    expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60);
    expect(Object.keys(headers).filter((name) => name.includes('ratelimit'))).toEqual([]);
    expect(JSON.parse(body)).toMatchObject({
      code: 'rate_limited',
      retryable: true,
      detail: 'An account may send 3 requests per minute',
    });
    expect(reads()).toBe(3);
  });

  it('counts reads, logouts and refused queries alike', async () => {
    const { ask } = await startCounting({ readsPerMinute: 3 });
    expect((await ask('alice')).status).toBe(502);
    expect((await ask('alice', { method: 'DELETE' })).status).toBe(204);
    expect((await ask('alice', { query: 'nonsense=1' })).status).toBe(400);
    expect((await ask('alice', { method: 'DELETE' })).status).toBe(429);
    expect((await ask('alice')).status).toBe(429);
  });

  it('counts each account alone, from every client address', async () => {
    const { ask } = await startCounting({ readsPerMinute: 1 });
    expect((await ask('alice', { forwarded: '203.0.113.1' })).status).toBe(502);
    expect((await ask('alice', { forwarded: '203.0.113.2' })).status).toBe(429);
    expect((await ask('bob', { forwarded: '203.0.113.1' })).status).toBe(502);
  });

  it('does not count requests with invalid sessions', async () => {
    const { ask } = await startCounting({ readsPerMinute: 1 });
    for (let i = 0; i < 3; i++) expect((await ask('nobody')).status).toBe(401);
  });

  it('can be turned off', () => {
    const limit = rateLimit(0);
    for (let i = 0; i < 100; i++) expect(limit(accountId('alice'))).toBeUndefined();
  });
});
