import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Fault } from '../../src/simulator/vendor-settings.ts';
import type { Replica } from '../support/broker-service.ts';
import { type Fleet, startServices } from '../support/fleet.ts';
import { keysMatching } from '../support/redis-client.ts';
import { accessTokenOf } from '../support/served-token.ts';

interface Outcome {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly vendorCode?: number;
  /** Whether a retry may help. */
  readonly retryable: boolean;
  /** Maximum number of login attempts. */
  readonly attempts: number;
}

const unavailable = { status: 503, code: 'vendor_unavailable', retryable: true, attempts: 3 };
const unreachable = { ...unavailable, title: 'The vendor cannot be reached' };
const refused = { status: 502, retryable: false, attempts: 1 };
const broken = { ...unavailable, title: "The vendor's answer does not follow its protocol" };

const OUTCOMES: Readonly<Record<Exclude<Fault, 'none'>, Outcome>> = {
  'no-token': broken,
  'past-expiry': broken,
  html: broken,
  'cut-off': unreachable,
  endless: { ...unavailable, title: "The vendor's answer is too large for a login answer" },
  'http-500': { ...unavailable, title: 'The vendor answered with an HTTP error and no result code' },
  reset: unreachable,
  hang: { ...unavailable, status: 504, code: 'vendor_timeout', title: 'The vendor did not answer in time' },
  maintenance: { ...unavailable, vendorCode: 10_901_060, title: 'The vendor is under maintenance' },
  'too-frequent': { ...unavailable, vendorCode: 10_015, title: 'The vendor limits the rate of logins' },
  'frozen-app': { ...refused, code: 'vendor_rejected', vendorCode: 10_901_051, title: 'The vendor refused the login' },
  'account-closed': {
    ...refused,
    status: 403,
    code: 'account_disabled',
    vendorCode: 10_902_013,
    title: 'The vendor has closed the account',
  },
};

function keysOf({ keyPrefix }: Fleet<Replica>, kind: string): Promise<string[]> {
  return keysMatching(`${keyPrefix}:*:${kind}`);
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
      const { status, code, title, vendorCode, retryable } = JSON.parse(failed.body);
      const told = { status, code, title, retryable, ...(vendorCode !== undefined && { vendorCode }) };
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
});
