import { describe, expect, onTestFinished, test } from 'vitest';
import { RefreshWorker } from '../../../src/broker/refresh-worker.ts';
import type { Renewal } from '../../../src/broker/renewal.ts';
import type { Renewed } from '../../../src/broker/requests.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Announcement, DueClaim, DueClaims } from '../../../src/token/ports.ts';
import { LEASE_MS, type RefreshPolicy } from '../../../src/token/renewal-timing.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { PROACTIVE } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const NOTHING: DueClaims = { claims: [], nextInMs: undefined, backlog: 0, overdueMs: 0, endedRead: 0 };
const LIFE_MS = 60_000;

/** A worker in virtual time, with a due queue and renewals that the test controls. */
function createWorker(policy: Partial<RefreshPolicy> = {}) {
  const { clock, pass } = virtualClock();
  const startedAt = clock.now();
  const feed = { completeSince: clock.monotonic() as number | undefined };
  const overtaken = new Set<string>();
  const listeners: ((announcement: Announcement) => void)[] = [];
  const claims: { readonly atMs: number; readonly limit: number; readonly leaseMs: number }[] = [];
  const answers: (DueClaims | Error | Promise<DueClaims>)[] = [];
  const postponed: { readonly id: string; readonly inMs: number }[] = [];
  const running: { readonly end: () => void; readonly fail: (error: unknown) => void }[] = [];
  const { logger: log, lines } = captureLog('debug');
  const { observer, told } = recordingObserver();
  const worker = new RefreshWorker({
    dueQueue: {
      claim: async (limit, leaseMs) => {
        claims.push({ atMs: clock.now() - startedAt, limit, leaseMs });
        const answer = await (answers.shift() ?? NOTHING);
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
    announcements: {
      subscribe: (listener) => void listeners.push(listener),
      completeSince: () => feed.completeSince,
    },
    renewal: {
      isOvertaken: ({ lease }: DueClaim) => overtaken.has(lease.id),
      postpone: async ({ lease }: DueClaim, dueAt: number) => {
        postponed.push({ id: lease.id, inMs: dueAt - clock.now() });
      },
      renewClaimed: () =>
        new Promise<Renewed>((resolve, reject) => {
          running.push({ end: () => resolve({} as Renewed), fail: reject });
        }),
    } as unknown as Renewal,
    policy: { ...PROACTIVE, share: { from: 0.5, to: 0.5 }, ...policy },
    clock,
    log,
    observer,
  });
  onTestFinished(async () => {
    for (const { end } of running) end();
    const stopped = worker.stop();
    await pass(0);
    await stopped;
  });
  /** Claims of `count` tokens that are due since `lateMs`. */
  const dueClaims = (count: number, { lateMs = 0, read = true } = {}): DueClaims => {
    const issuedAt = clock.now() - LIFE_MS / 2 - lateMs;
    const many = Array.from({ length: count }, (_, number): DueClaim => {
      const subject = { app: 'default', unionId: `account-${number}`, uniqueId: 'phone' };
      const lease = { id: subjectId(subject), ownerId: 'this', generation: 2, durationMs: LEASE_MS };
      const token = { fields: {}, issuedAt, expiresAt: issuedAt + LIFE_MS };
      const flags = { read, unreadRenewals: 1, suspect: false };
      const record = { subject, region: 'CN', token, generation: 1, answeredAt: 1, ...flags };
      return { lease, record, region: 'CN', erasedAt: undefined };
    });
    return { ...NOTHING, claims: many };
  };
  const announce = (kind: 'saved' | 'removed') => {
    const id = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });
    for (const listener of listeners) listener({ kind, id, generation: 1 });
  };
  const times = () => claims.map(({ atMs }) => atMs);
  return {
    clock,
    pass,
    feed,
    claims,
    times,
    answers,
    postponed,
    running,
    overtaken,
    lines,
    told,
    worker,
    dueClaims,
    announce,
  };
}

describe('the worker looks for due tokens', () => {
  test('every 5 s while it hears of every saved token', async () => {
    const { pass, times, claims, worker } = createWorker();
    worker.start();
    worker.start();
    await pass(14_999);
    expect(times()).toEqual([0, 5_000, 10_000]);
    expect(claims[0]).toMatchObject({ limit: 128, leaseMs: LEASE_MS });
  });

  test('every second while it may miss announcements', async () => {
    const { pass, feed, times, worker } = createWorker();
    feed.completeSince = undefined;
    worker.start();
    await pass(2_999);
    expect(times()).toEqual([0, 1_000, 2_000]);
  });

  test('when the next token is due, if that is sooner', async () => {
    const { pass, answers, times, worker } = createWorker();
    answers.push({ ...NOTHING, nextInMs: 300 }, { ...NOTHING, nextInMs: 9_000 });
    worker.start();
    await pass(5_300);
    expect(times()).toEqual([0, 300, 5_300]);
  });

  test('within a second after a token was saved, and no sooner for a token that was removed', async () => {
    const { pass, times, worker, announce } = createWorker();
    worker.start();
    await pass(1_000);
    announce('removed');
    await pass(2_000);
    announce('saved');
    await pass(500);
    announce('saved');
    await pass(500);
    expect(times()).toEqual([0, 4_000]);
  });

  test('no later than planned, although a token was saved', async () => {
    const { pass, times, worker, announce } = createWorker();
    worker.start();
    await pass(4_500);
    announce('saved');
    await pass(500);
    expect(times()).toEqual([0, 5_000]);
  });

  test('again one second after the store has failed, and logs it', async () => {
    const { pass, answers, times, lines, worker } = createWorker();
    answers.push(new BrokerError('store_unavailable'));
    worker.start();
    await pass(1_000);
    expect(times()).toEqual([0, 1_000]);
    expect(lines()).toMatchObject([{ msg: 'the due queue could not be read', err: { code: 'store_unavailable' } }]);
  });

  test('no longer after it was stopped', async () => {
    const { pass, times, worker } = createWorker();
    worker.start();
    await pass(1_000);
    const stopped = worker.stop();
    await pass(60_000);
    await stopped;
    expect(times()).toEqual([0]);
  });
});

describe('the worker renews', () => {
  test('each due token, and reports how late it is and how many are left', async () => {
    const { pass, answers, running, postponed, told, worker, dueClaims } = createWorker();
    answers.push({ ...dueClaims(3, { lateMs: 700 }), backlog: 4 });
    worker.start();
    await pass(0);
    expect(running).toHaveLength(3);
    expect(postponed).toEqual([]);
    expect(told('renewalClaimed')).toEqual([[700], [700], [700]]);
    expect(told('backlogSeen')).toEqual([[4]]);
  });

  test('and reports how long the oldest token has waited: by the due time of its record too, which a retry does not move', async () => {
    const { pass, answers, told, worker, dueClaims } = createWorker();
    const late = dueClaims(2, { lateMs: 700 });
    answers.push(
      { ...late, overdueMs: 90, nextInMs: 10 },
      { ...NOTHING, overdueMs: 800, nextInMs: 10 },
      // A token that nobody reads is only looked at again at its end.
      { ...dueClaims(1, { lateMs: 700, read: false }), nextInMs: 10 },
    );
    worker.start();
    for (let claim = 0; claim < 3; claim += 1) await pass(10);
    expect(told('overdueSeen').slice(0, 3)).toEqual([[700], [800], [0]]);
  });

  test.each([
    ['proactive', [[2]]],
    ['on-demand', []],
  ] as const)(
    'in mode %s, and reports the tokens that ended although an app had read them: %j',
    async (mode, reported) => {
      const { pass, answers, told, worker } = createWorker({ mode });
      answers.push({ ...NOTHING, endedRead: 2 });
      worker.start();
      await pass(5_000);
      expect(told('endedUnrenewed')).toEqual(reported);
    },
  );

  test('a token at its due time, and postpones one that is due later until then', async () => {
    const { pass, answers, running, postponed, worker, dueClaims } = createWorker();
    answers.push({ ...dueClaims(1), nextInMs: 10 }, { ...dueClaims(1, { lateMs: -11 }), nextInMs: 10 });
    worker.start();
    await pass(0);
    expect(running).toHaveLength(1);
    await pass(10);
    expect(running).toHaveLength(1);
    expect(postponed).toMatchObject([{ inMs: 1 }]);
  });

  test('no token that apps no longer read: it is looked at again at its end', async () => {
    const { pass, answers, running, postponed, worker, dueClaims } = createWorker();
    answers.push(dueClaims(1, { read: false }));
    worker.start();
    await pass(0);
    expect(running).toHaveLength(0);
    expect(postponed).toMatchObject([{ inMs: LIFE_MS / 2 }]);
  });

  test('no unread token before it is due: it is looked at again then, because an app may read it in between', async () => {
    const { pass, answers, running, postponed, worker, dueClaims } = createWorker();
    answers.push(dueClaims(1, { read: false, lateMs: -11 }));
    worker.start();
    await pass(0);
    expect(running).toHaveLength(0);
    expect(postponed).toMatchObject([{ inMs: 11 }]);
  });

  test('no expired token that apps no longer read', async () => {
    const { pass, answers, running, postponed, worker, dueClaims } = createWorker();
    answers.push(dueClaims(1, { read: false, lateMs: LIFE_MS }));
    worker.start();
    await pass(0);
    expect(running).toHaveLength(0);
    expect(postponed).toMatchObject([{ inMs: -LIFE_MS / 2 }]);
  });

  test('nothing that it claims while it stops: other replicas may claim it at once', async () => {
    const { pass, answers, running, postponed, worker, dueClaims } = createWorker();
    let answer = (_claims: DueClaims): void => undefined;
    answers.push(
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    worker.start();
    await pass(0);
    const stopped = worker.stop();
    answer(dueClaims(1, { lateMs: 700 }));
    await pass(0);
    await stopped;
    expect(running).toHaveLength(0);
    expect(postponed).toMatchObject([{ inMs: 0 }]);
  });

  test('no token that this replica renews already, or knows to be renewed since: it looks again a second later', async () => {
    const { pass, answers, running, postponed, overtaken, told, worker, dueClaims } = createWorker();
    const due = dueClaims(2);
    const [first] = due.claims;
    if (!first) throw new Error('no claim');
    overtaken.add(first.lease.id);
    answers.push(due);
    worker.start();
    await pass(0);
    expect(running).toHaveLength(1);
    expect(postponed).toEqual([{ id: first.lease.id, inMs: 1_000 }]);
    expect(told('renewalClaimed')).toHaveLength(1);
  });

  test('to the end what it has begun when it stops', async () => {
    const { pass, answers, running, worker, dueClaims } = createWorker();
    answers.push(dueClaims(1));
    worker.start();
    await pass(0);
    let hasStopped = false;
    const stopped = worker.stop().then(() => {
      hasStopped = true;
    });
    await pass(10_000);
    expect(hasStopped).toBe(false);
    running[0]?.end();
    await stopped;
  });

  test('on after a failed renewal, and logs it', async () => {
    const { pass, answers, running, lines, claims, worker, dueClaims } = createWorker();
    answers.push(dueClaims(1));
    worker.start();
    await pass(0);
    running[0]?.fail(new BrokerError('vendor_timeout'));
    await pass(5_000);
    expect(lines()).toMatchObject([{ msg: 'a renewal failed', subject: expect.any(String) }]);
    expect(claims).toMatchObject([{ limit: 128 }, { limit: 128 }]);
  });
});

describe('the number of renewals at a time', () => {
  test('is at most 128: the worker claims as many as are free, once half of them are', async () => {
    const { pass, answers, running, claims, worker, dueClaims } = createWorker();
    answers.push({ ...dueClaims(65), nextInMs: 0 });
    worker.start();
    await pass(1_050);
    expect(claims).toHaveLength(1);
    running[0]?.end();
    await pass(0);
    expect(claims).toMatchObject([
      { atMs: 0, limit: 128 },
      { atMs: 1_050, limit: 64 },
    ]);
  });

  test('leaves room for a claim while exactly half of them run', async () => {
    const { pass, answers, claims, worker, dueClaims } = createWorker();
    answers.push({ ...dueClaims(64), nextInMs: 10 });
    worker.start();
    await pass(10);
    expect(claims).toMatchObject([{ limit: 128 }, { limit: 64 }]);
  });

  test('does not make the worker look again for each renewal that ends', async () => {
    const { pass, answers, running, times, worker, dueClaims } = createWorker();
    answers.push(dueClaims(3));
    worker.start();
    await pass(0);
    for (const { end } of running) {
      end();
      await pass(100);
    }
    expect(times()).toEqual([0]);
  });

  test('that a claim starts is quartered for each full login budget, to no less than four, after a pause of half a second', async () => {
    const { pass, answers, running, claims, lines, worker, dueClaims } = createWorker();
    for (let round = 0; round < 5; round += 1) answers.push({ ...dueClaims(2), nextInMs: 10 });
    worker.start();
    await pass(0);
    for (let round = 0; round < 5; round += 1) {
      // Both renewals of a round meet the same full budget, and count once.
      for (const { fail } of running.splice(0)) fail(new BrokerError('vendor_busy'));
      await pass(500);
    }
    expect(claims.map(({ limit }) => limit)).toEqual([128, 32, 8, 4, 4, 4]);
    const pauses = claims.slice(1).map(({ atMs }, index) => atMs - (claims[index]?.atMs ?? 0));
    for (const ms of pauses) expect(ms).toBeGreaterThanOrEqual(500);
    expect(lines()).toHaveLength(10);
    for (const line of lines()) {
      expect(line).toMatchObject({ msg: 'a renewal waits for the login budget', subject: expect.any(String) });
    }
  });

  test('does not limit the claims while they wait in the login queue', async () => {
    const { pass, answers, running, claims, worker, dueClaims } = createWorker();
    answers.push(dueClaims(20), { ...dueClaims(1), nextInMs: 0 }, { ...dueClaims(1), nextInMs: 0 });
    worker.start();
    await pass(0);
    running[0]?.fail(new BrokerError('vendor_busy', { waitMs: 40 }));
    await pass(50);
    // 19 renewals still run.
    expect(claims.length).toBeGreaterThanOrEqual(3);
  });

  test.each([
    [40, 40],
    [3_000, 1_000],
  ])('is claimed again as soon as the login queue says: after %i ms, a pause of %i ms', async (waitMs, pauseMs) => {
    const { pass, answers, running, times, worker, dueClaims } = createWorker();
    // The next token is due much later.
    answers.push(dueClaims(1));
    worker.start();
    await pass(100);
    running[0]?.fail(new BrokerError('vendor_busy', { waitMs }));
    await pass(pauseMs - 1);
    expect(times()).toEqual([0]);
    await pass(1);
    expect(times()).toEqual([0, 100 + pauseMs]);
  });

  test('is claimed again after that pause, although the clock is set back during it', async () => {
    const { clock, pass, answers, running, claims, worker, dueClaims } = createWorker();
    answers.push({ ...dueClaims(1), nextInMs: 10 });
    worker.start();
    await pass(0);
    running.splice(0)[0]?.fail(new BrokerError('vendor_busy'));
    await pass(0);
    const { now } = clock;
    clock.now = () => now() - 3_600_000;
    await pass(499);
    expect(claims.map(({ limit }) => limit)).toEqual([128]);
    await pass(1);
    expect(claims.map(({ limit }) => limit)).toEqual([128, 32]);
  });

  test('grows by one with each success', async () => {
    const { pass, answers, running, claims, worker, dueClaims } = createWorker();
    answers.push({ ...dueClaims(1), nextInMs: 10 });
    worker.start();
    await pass(0);
    running.splice(0)[0]?.fail(new BrokerError('vendor_busy'));
    answers.push({ ...dueClaims(2), nextInMs: 10 });
    await pass(500);
    for (const { end } of running.splice(0)) end();
    await pass(10);
    expect(claims.map(({ limit }) => limit)).toEqual([128, 32, 34]);
  });

  test('does not grow beyond 128', async () => {
    const { pass, answers, running, claims, worker, dueClaims } = createWorker();
    answers.push({ ...dueClaims(2), nextInMs: 10 });
    worker.start();
    await pass(0);
    for (const { end } of running) end();
    await pass(10);
    expect(claims.map(({ limit }) => limit)).toEqual([128, 128]);
  });
});
