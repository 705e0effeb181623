import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Fault } from '../../src/simulator/vendor-settings.ts';
import type { Replica } from '../support/broker-service.ts';
import { type Fleet, startFleet, startServices } from '../support/fleet.ts';
import { keysMatching, redisClient } from '../support/redis-client.ts';
import { accessTokenOf } from '../support/served-token.ts';

interface Outcome {
  readonly status: number;
  readonly code: string;
  readonly vendorCode?: number;
  /** Whether a retry may help. */
  readonly retryable: boolean;
  /** Maximum number of login attempts. */
  readonly attempts: number;
}

const unavailable = { status: 503, code: 'vendor_unavailable', retryable: true, attempts: 3 };

const OUTCOMES: Readonly<Record<Exclude<Fault, 'none'>, Outcome>> = {
  'no-token': unavailable,
  'past-expiry': unavailable,
  html: unavailable,
  'cut-off': unavailable,
  endless: unavailable,
  'http-500': unavailable,
  reset: unavailable,
  hang: { ...unavailable, status: 504, code: 'vendor_timeout' },
  maintenance: { ...unavailable, vendorCode: 10_901_060 },
  'too-frequent': { ...unavailable, vendorCode: 10_015 },
  'frozen-app': { status: 502, code: 'vendor_rejected', vendorCode: 10_901_051, retryable: false, attempts: 1 },
  'account-closed': { status: 403, code: 'account_disabled', vendorCode: 10_902_013, retryable: false, attempts: 1 },
};

const ENDLESS_ANSWERS = 20;
const MOST_MEMORY_MB = 200;
const TOKEN_LIFETIME_MS = 600_000;
const QUARTER_HOUR_MS = 15 * 60_000;

function keysOf({ keyPrefix }: Fleet<Replica>, kind: string): Promise<string[]> {
  return keysMatching(`${keyPrefix}:*:${kind}`);
}

/** The times at which a token is due. */
async function dueTimes(fleet: Fleet<Replica>): Promise<number[]> {
  const keys = await keysOf(fleet, 'due');
  const redis = redisClient();
  const members = await Promise.all(keys.map((key) => redis.zrange(key, '0', '-1', 'WITHSCORES')));
  return members.flatMap((pairs) => pairs.filter((_, at) => at % 2 === 1).map(Number));
}

/** The peak memory of a process on Linux; its current memory elsewhere. */
function memoryMb(pid: number): number {
  if (process.platform !== 'linux') return Number(execFileSync('ps', ['-o', 'rss=', '-p', `${pid}`])) / 1024;
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

describe('a vendor that fails', () => {
  test('causes the documented error, leaves nothing in the store, and does no harm after it recovers', async () => {
    const fleet = await startServices({ replicas: 1, env: { VENDOR_TIMEOUT_MS: '800', VENDOR_MAX_RPS: '0' } });
    const { vendor } = fleet;
    const { getToken } = fleet.broker(0);
    const faults = Object.entries(OUTCOMES) as [Fault, Outcome][];
    for (const [index, [fault, { attempts, ...outcome }]] of faults.entries()) {
      const session = await fleet.session(`account-of-${fault}`);
      const before = vendor.state().requests;
      vendor.configure({ fault });
      const failed = await getToken(session, 'phone');
      const tried = vendor.state().requests - before;
      const { status, code, vendorCode, retryable } = JSON.parse(failed.body);
      const told = { status, code, retryable, ...(vendorCode !== undefined && { vendorCode }) };
      expect({ fault, http: failed.status, ...told }).toEqual({ fault, http: outcome.status, ...outcome });
      expect(failed.headers['content-type']).toBe('application/problem+json');
      expect(failed.headers['retry-after'], fault).toEqual(retryable ? expect.stringMatching(/^[1-9]\d*$/) : undefined);
      expect(tried, fault).toBeGreaterThanOrEqual(1);
      expect(tried, fault).toBeLessThanOrEqual(attempts);
      expect(await keysOf(fleet, 'a:*'), fault).toHaveLength(index);
      expect(await keysOf(fleet, 'l:*'), fault).toEqual([]);

      vendor.configure({ fault: 'none' });
      if (fault === 'too-frequent') {
        // The vendor has asked to wait.
        expect((await getToken(session, 'tablet')).status).toBe(503);
        await sleep(Number(failed.headers['retry-after']) * 1_000);
      }
      for (const terminal of ['phone', 'tablet']) {
        const answer = await getToken(session, terminal);
        expect([fault, answer.status]).toEqual([fault, 200]);
        expect(vendor.checkToken(accessTokenOf(answer)).live).toBe(true);
      }
      expect(vendor.state().requests - before - tried, fault).toBe(2);
    }
  });

  test('cannot fill the memory of the broker with endless answers', async () => {
    const fleet = await startFleet({ replicas: 1, vendor: { fault: 'endless' }, env: { VENDOR_MAX_RPS: '0' } });
    const { getToken, pid } = fleet.broker(0);
    const answers = await Promise.all(
      Array.from({ length: ENDLESS_ANSWERS }, async (_, number) =>
        getToken(await fleet.session(`account-${number}`), 'phone'),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(ENDLESS_ANSWERS).fill(503));
    // The first failures open the circuit. A login that comes later is not sent.
    expect(fleet.vendor.state().requests).toBeGreaterThan(ENDLESS_ANSWERS / 2);
    expect(memoryMb(pid)).toBeGreaterThan(10);
    expect(memoryMb(pid)).toBeLessThan(MOST_MEMORY_MB);
  });
});

describe('a vendor whose clock is 15 minutes', () => {
  let fleet: Fleet<Replica>;

  beforeAll(async () => {
    fleet = await startServices({ replicas: 2, vendor: { tokenLifetimeSeconds: TOKEN_LIFETIME_MS / 1_000 } });
    return () => fleet.close();
  });

  test.each([
    ['ahead', QUARTER_HOUR_MS],
    ['behind', -QUARTER_HOUR_MS],
  ])(
    '%s gets logins signed by its own clock after one refusal, and its tokens keep their lifetime',
    async (direction, clockOffsetMs) => {
      fleet.vendor.configure({ clockOffsetMs });
      const before = fleet.vendor.state();
      const logins = () => {
        const { requests, succeeded, refusalsByCode } = fleet.vendor.state();
        const refused = (refusalsByCode[10_007] ?? 0) - (before.refusalsByCode[10_007] ?? 0);
        return { requests: requests - before.requests, succeeded: succeeded - before.succeeded, refused };
      };
      const dueBefore = await dueTimes(fleet);
      const session = await fleet.session(`alice-${direction}`);
      const sentAt = Date.now();
      const first = await fleet.broker(0).getToken(session, 'phone');
      const answeredAt = Date.now();
      expect(first.status).toBe(200);
      expect(logins()).toEqual({ requests: 2, succeeded: 1, refused: 1 });

      const expiryByVendor = (at: number) => Math.floor((at + clockOffsetMs + TOKEN_LIFETIME_MS) / 1_000);
      const expireTime = Number(JSON.parse(first.body).expireTime);
      expect(expireTime).toBeGreaterThanOrEqual(expiryByVendor(sentAt));
      expect(expireTime).toBeLessThanOrEqual(expiryByVendor(answeredAt));
      const [dueAt, ...others] = (await dueTimes(fleet)).filter((at) => !dueBefore.includes(at));
      expect(others).toEqual([]);
      expect(dueAt).toBeGreaterThanOrEqual(sentAt + 0.7 * TOKEN_LIFETIME_MS - 2_000);
      expect(dueAt).toBeLessThanOrEqual(answeredAt + 0.9 * TOKEN_LIFETIME_MS + 2_000);

      expect((await fleet.broker(1).getToken(session, 'phone')).body).toBe(first.body);
      expect((await fleet.broker(0).getToken(await fleet.session(`bob-${direction}`), 'phone')).status).toBe(200);
      expect(logins()).toEqual({ requests: 3, succeeded: 2, refused: 1 });
    },
  );
});
