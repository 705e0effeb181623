import { describe, expect, test } from 'vitest';
import { createStatus, type StatusOptions } from '../../../src/http/status.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const HOUR_MS = 3_600_000;
const NO_EVENTS = { within: () => ({}) };
const NO_COUNTS: StatusOptions['counts'] = {
  failedRequests: NO_EVENTS,
  failedRenewals: NO_EVENTS,
  lastHour: () => ({ from: '2026-11-26T08:00:00.000Z', reads: {}, renewals: {}, logins: {}, sessions: {} }),
};

type Store = StatusOptions['store'];

/** A status in virtual time. `asked` counts the questions to the store. */
function statusInVirtualTime({
  health = { ping: async () => undefined },
  dueQueue,
  loginQueue = { nextPlaceInMs: async () => -50 },
  ...changes
}: Partial<StatusOptions> & {
  readonly health?: Pick<Store['health'], 'ping'>;
  readonly dueQueue?: Pick<Store['dueQueue'], 'outlook' | 'firstEnd'>;
  readonly loginQueue?: Pick<Store['loginQueue'], 'nextPlaceInMs'>;
} = {}) {
  const { clock, pass } = virtualClock();
  const asked = { times: 0 };
  const outlook: Store['dueQueue']['outlook'] = async (horizonsMs) => {
    asked.times += 1;
    return { dueWithin: horizonsMs.map((ms) => ms / HOUR_MS), total: 9_999, overdueMs: 1_500 };
  };
  const replicas = { others: async () => [] };
  const status = createStatus({
    version: '1.2.3',
    replica: 'broker-1',
    clock,
    store: {
      health,
      dueQueue: dueQueue ?? { outlook, firstEnd: async () => undefined },
      loginQueue,
      replicas,
    } as unknown as Store,
    loginsPerSecond: 10,
    loginsSentPerSecond: () => 2.5,
    cache: { size: 7, bytes: 7_000 },
    vendorDomains: () => [],
    redis: { contact: { lastSuccessAt: clock.now(), lastFailure: undefined, failingSince: undefined, failures: 0 } },
    encryptionKeys: () => ['2026-11', '2025-11'],
    sessions: { mode: 'jwt', server: undefined },
    fleet: { report: () => ({ findings: [], replicas: [], tokensEnded: 0 }) },
    counts: NO_COUNTS,
    ...changes,
  });
  return { clock, pass, asked, status };
}

describe('the status', () => {
  test('has what falls due from the store: in whole horizons, and in each hour and day', async () => {
    const { status } = statusInVirtualTime({
      dueQueue: {
        outlook: async (horizonsMs) => {
          return { dueWithin: horizonsMs.map((ms) => 5 + ms / HOUR_MS), total: 9_999, overdueMs: 1_500 };
        },
        firstEnd: async () => Date.parse('2026-11-27T08:00:00.000Z'),
      },
    });
    const { schedule, firstEndAt } = await status.report();
    expect(firstEndAt).toBe('2026-11-27T08:00:00.000Z');
    expect(schedule).toEqual({
      due: { now: 5, in1h: 6, in24h: 29, in7d: 173, in30d: 725 },
      // The first interval includes what is due now.
      next24Hours: [6, ...Array.from({ length: 23 }, () => 1)],
      next30Days: [29, ...Array.from({ length: 29 }, () => 24)],
      total: 9_999,
      oldestOverdueSeconds: 1.5,
    });
  });

  test('has each vendor domain with its state, its last success, and the latest of failures and refusals', async () => {
    const at = Date.parse('2026-11-26T08:00:00.000Z');
    const never = { lastSuccessAt: undefined, lastFailure: undefined, failingSince: undefined, failures: 0 };
    const failed = { lastFailure: { at, reason: 'timeout' }, failingSince: at - 60_000, failures: 1 };
    const refusedAt = (ms: number) => ({ lastRefusal: { at: at + ms, reason: 'request', vendorCode: 10_003 } });
    const found = { code: 'vendor_down', host: 'failed.example', message: '', since: at } as const;
    const { status } = statusInVirtualTime({
      fleet: { report: () => ({ findings: [found], replicas: [], tokensEnded: 0 }) },
      vendorDomains: () => [
        { ...never, host: 'never.example', circuit: 'closed', clockOffsetMs: 0 },
        { ...never, ...failed, ...refusedAt(-1), host: 'failed.example', circuit: 'open', clockOffsetMs: -1_500 },
        { ...never, ...failed, ...refusedAt(1), host: 'refused.example', circuit: 'closed', clockOffsetMs: 0 },
      ],
    });
    const [iso, since] = ['2026-11-26T08:00:00.000Z', '2026-11-26T07:59:00.000Z'];
    const [lastSuccessAt, refusal] = [null, { reason: 'request', vendorCode: 10_003, at: '2026-11-26T08:00:00.001Z' }];
    const closed = { circuit: 'closed', clockOffsetSeconds: 0, lastSuccessAt };
    expect((await status.report()).vendorDomains).toEqual([
      { ...closed, state: 'works', host: 'never.example', lastFailure: null, failingSince: null },
      {
        state: 'fails',
        host: 'failed.example',
        circuit: 'open',
        clockOffsetSeconds: -1.5,
        lastSuccessAt,
        lastFailure: { reason: 'timeout', at: iso },
        failingSince: since,
      },
      { ...closed, state: 'last_try_failed', host: 'refused.example', lastFailure: refusal, failingSince: since },
    ]);
  });

  test('has the failures of the last 5 and 60 minutes by code, and the counts of the last hour by minute', async () => {
    const lastHour = {
      from: '2026-11-26T08:00:00.000Z',
      reads: { memory: [1, 2] },
      renewals: { login: [1, 2] },
      logins: { busy: [1, 2] },
      sessions: { kept: [1, 2] },
    };
    const { status } = statusInVirtualTime({
      counts: {
        failedRequests: { within: (minutes) => ({ session_expired: minutes }) },
        failedRenewals: { within: (minutes) => ({ vendor_timeout: 2 * minutes }) },
        lastHour: () => lastHour,
      },
    });
    expect(await status.report()).toMatchObject({
      recentFailures: {
        requests: { last5Minutes: { session_expired: 5 }, last60Minutes: { session_expired: 60 } },
        backgroundRenewals: { last5Minutes: { vendor_timeout: 10 }, last60Minutes: { vendor_timeout: 120 } },
      },
      lastHour,
    });
  });

  test('asks the store once per second, however many callers there are, also after the clock was set back', async () => {
    const { clock, pass } = virtualClock();
    let aheadMs = HOUR_MS;
    const { status, asked } = statusInVirtualTime({ clock: { ...clock, now: () => clock.now() + aheadMs } });
    const [first] = await Promise.all(Array.from({ length: 10 }, () => status.report()));
    aheadMs = 0;
    await pass(999);
    expect(await status.report()).toEqual(first);
    expect(asked.times).toBe(1);
    await pass(1);
    expect((await status.report()).at).toBe(new Date(clock.now()).toISOString());
    expect(asked.times).toBe(2);
  });

  test.each([
    ['once a minute', () => 86_400, 2],
    ['again when it is past, and then once a minute', () => 20, 3],
    ['at most every 10 s if a token ends each second', (second: number) => second + 1, 12],
  ])('searches for the first end of a token %s', async (_, endOf, times) => {
    const start = virtualClock().clock.now();
    const found: number[] = [];
    let second = 0;
    const firstEnd = async () => {
      found.push(start + endOf(second) * 1_000);
      return found.at(-1);
    };
    const outlook = async () => ({ dueWithin: [], total: 1, overdueMs: 0 });
    const { status, pass } = statusInVirtualTime({ dueQueue: { outlook, firstEnd } });
    for (; second < 120; second += 1) {
      await status.report();
      await pass(1_000);
    }
    expect(found).toHaveLength(times);
    expect((await status.report()).firstEndAt).toBe(new Date(found.at(-1) ?? 0).toISOString());
  });

  test.each([
    ['fails', () => Promise.reject(new BrokerError('store_unavailable'))],
    ['does not answer', () => new Promise<never>(() => undefined)],
  ])('says so within a second if the store %s, and has the rest', async (_, answer) => {
    const { status, pass } = statusInVirtualTime({
      health: { ping: answer },
      dueQueue: { outlook: answer, firstEnd: answer },
      loginQueue: { nextPlaceInMs: answer },
    });
    const reporting = status.report();
    await pass(1_000);
    expect(await reporting).toMatchObject({
      store: { kind: 'redis', reachable: false },
      schedule: null,
      loginBudget: { perSecond: 10, used: 0.25, waiting: null },
      memory: { tokens: 7, bytes: 7_000 },
    });
  });
});

describe('the login budget', () => {
  test.each([
    ['after a pause', undefined, 0],
    ['while places are free', -70, 0],
    ['after a login that did not wait', 100, 0],
    ['with two logins in the queue', 300, 2],
    ['with the second of them due in part of an interval', 210, 2],
  ])('has the number of logins that wait: %s', async (_, nextPlaceInMs, waiting) => {
    const { status } = statusInVirtualTime({ loginQueue: { nextPlaceInMs: async () => nextPlaceInMs } });
    expect((await status.report()).loginBudget).toEqual({ perSecond: 10, used: 0.25, waiting });
  });

  test('is null without a limit', async () => {
    const { status } = statusInVirtualTime({ loginsPerSecond: 0 });
    expect((await status.report()).loginBudget).toEqual({ perSecond: null, used: null, waiting: null });
  });
});
