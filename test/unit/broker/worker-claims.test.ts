import { describe, expect, onTestFinished, test } from 'vitest';
import { createRefreshWorker } from '../../../src/broker/refresh-worker.ts';
import type { Renewal } from '../../../src/broker/renewal.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Announcement, DueQueue, DueSubjects } from '../../../src/token/ports.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { follow, PHONE_ID } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { deferred } from '../../support/deferred.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const NOTHING: DueSubjects = { ids: [], nextInMs: undefined, backlog: 0, overdueMs: 0 };

/** A worker in virtual time, with a due queue and renewals that the test controls. */
function createWorker() {
  const { clock, pass } = virtualClock();
  const startedAt = clock.now();
  const feed = { completeSince: clock.monotonic() as number | undefined };
  const listeners: ((announcement: Announcement) => void)[] = [];
  const claims: { readonly atMs: number; readonly limit: number }[] = [];
  const answers: (DueSubjects | Error | Promise<DueSubjects>)[] = [];
  /** By subject: how long its token is due when its renewal begins. Others are not due. */
  const lateMs = new Map<string, number>();
  const running: { readonly end: () => void; readonly fail: (error: unknown) => void }[] = [];
  const { logger: log, lines } = captureLog('debug');
  const { observer, told } = recordingObserver();
  const worker = createRefreshWorker({
    dueQueue: {
      claim: async (limit) => {
        claims.push({ atMs: clock.now() - startedAt, limit });
        const answer = await (answers.shift() ?? NOTHING);
        if (answer instanceof Error) throw answer;
        return answer;
      },
    } as DueQueue,
    announcements: {
      subscribe: (listener) => void listeners.push(listener),
      completeSince: () => feed.completeSince,
    },
    renewal: {
      renewDue: (id, onDue) => {
        onDue(lateMs.get(id) ?? 0);
        return new Promise((resolve, reject) => {
          running.push({ end: () => resolve(undefined), fail: reject });
        });
      },
    } satisfies Pick<Renewal, 'renewDue'> as Renewal,
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
  const dueClaims = (count: number): DueSubjects => {
    const unionIds = Array.from({ length: count }, (_, number) => `account-${number}`);
    return { ...NOTHING, ids: unionIds.map((unionId) => subjectId({ app: 'default', unionId, uniqueId: 'phone' })) };
  };
  const announce = (kind: 'saved' | 'removed') => {
    for (const listener of listeners) listener({ kind, id: PHONE_ID, generation: 1 });
  };
  const times = () => claims.map(({ atMs }) => atMs);
  const controls = { clock, pass, feed, answers, lateMs, running, announce };
  return { ...controls, worker, claims, times, lines, told, dueClaims };
}

describe('the worker looks for due tokens', () => {
  type Parts = ReturnType<typeof createWorker>;
  test.each<[string, (parts: Parts) => unknown, number, number[]]>([
    ['every 5 s while it hears of every saved token', () => undefined, 14_999, [0, 5_000, 10_000]],
    [
      'every second while it may miss announcements',
      ({ feed }) => {
        feed.completeSince = undefined;
      },
      2_999,
      [0, 1_000, 2_000],
    ],
    [
      'when the next token is due, if that is sooner',
      ({ answers }) => answers.push({ ...NOTHING, nextInMs: 300 }, { ...NOTHING, nextInMs: 9_000 }),
      5_300,
      [0, 300, 5_300],
    ],
    [
      'within a second after a token was saved, and no sooner for a token that was removed',
      ({ clock, announce }) => {
        clock.setTimer(() => announce('removed'), 1_000);
        for (const ms of [3_000, 3_500]) clock.setTimer(() => announce('saved'), ms);
      },
      4_000,
      [0, 4_000],
    ],
    [
      'no later than planned, although a token was saved',
      ({ clock, announce }) => clock.setTimer(() => announce('saved'), 4_500),
      5_000,
      [0, 5_000],
    ],
  ])('%s', async (_, prepare, passedMs, expected) => {
    const parts = createWorker();
    prepare(parts);
    parts.worker.start();
    parts.worker.start();
    await parts.pass(passedMs);
    expect(parts.times()).toEqual(expected);
    expect(parts.claims[0]).toMatchObject({ limit: 128 });
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
    const { pass, answers, running, lateMs, told, worker, dueClaims } = createWorker();
    const due = dueClaims(3);
    for (const id of due.ids) lateMs.set(id, 700);
    answers.push({ ...due, backlog: 4 });
    worker.start();
    await pass(0);
    expect(running).toHaveLength(3);
    expect(told('renewalClaimed')).toEqual([[700], [700], [700]]);
    expect(told('backlogSeen')).toEqual([[4]]);
  });

  test('and reports with the next claim how long the oldest token has waited: by its own due time too, which a retry does not move', async () => {
    const { pass, answers, lateMs, told, worker, dueClaims } = createWorker();
    const due = dueClaims(2);
    for (const [index, id] of due.ids.entries()) lateMs.set(id, 700 + index);
    answers.push(
      { ...due, overdueMs: 90, nextInMs: 10 },
      { ...NOTHING, overdueMs: 80, nextInMs: 10 },
      { ...NOTHING, overdueMs: 800, nextInMs: 10 },
      { ...NOTHING, nextInMs: 10 },
    );
    worker.start();
    for (let claim = 0; claim < 4; claim += 1) await pass(10);
    expect(told('overdueSeen').slice(0, 4)).toEqual([[90], [701], [800], [0]]);
  });

  test('nothing that it claims while it stops', async () => {
    const { pass, answers, running, times, worker, dueClaims } = createWorker();
    const answer = deferred<DueSubjects>();
    answers.push(answer.promise);
    worker.start();
    await pass(0);
    const stopped = worker.stop();
    answer.resolve(dueClaims(1));
    await pass(0);
    await stopped;
    await pass(60_000);
    expect(running).toHaveLength(0);
    expect(times()).toEqual([0]);
  });

  test('to the end what it has begun when it stops', async () => {
    const { pass, answers, running, worker, dueClaims } = createWorker();
    answers.push(dueClaims(1));
    worker.start();
    await pass(0);
    const stopped = follow(worker.stop());
    await pass(10_000);
    expect(stopped.result).toBe('waits');
    running[0]?.end();
    await pass(0);
    expect(stopped.result).toBeUndefined();
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

  test('rests for half a second after each full login budget, however many renewals meet it', async () => {
    const { pass, answers, running, claims, lines, worker, dueClaims } = createWorker();
    for (let round = 0; round < 3; round += 1) answers.push({ ...dueClaims(2), nextInMs: 10 });
    worker.start();
    await pass(0);
    for (let round = 0; round < 3; round += 1) {
      for (const { fail } of running.splice(0)) fail(new BrokerError('vendor_busy'));
      await pass(500);
    }
    const pauses = claims.slice(1).map(({ atMs }, index) => atMs - (claims[index]?.atMs ?? 0));
    expect(pauses).toHaveLength(3);
    for (const ms of pauses) expect(ms).toBeGreaterThanOrEqual(500);
    expect(lines()).toHaveLength(6);
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
    expect(claims).toHaveLength(1);
    await pass(1);
    expect(claims).toHaveLength(2);
  });
});
