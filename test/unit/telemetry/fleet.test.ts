import { describe, expect, test } from 'vitest';
import { NO_COUNTS, NO_SHARES, type RecentCounts, type ShareCounts } from '../../../src/telemetry/finding-facts.ts';
import { Fleet } from '../../../src/telemetry/fleet.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { LeftSummary, ScheduleOutlook } from '../../../src/token/ports.ts';
import { virtualClock } from '../../support/virtual-clock.ts';
import { DOMAIN, factsAt, failingContact } from './facts.ts';

/**
 * Replicas in virtual time, with a store that keeps what they leave. Returned are the controls of all, and then each
 * replica of these names.
 */
function createFleet<const Names extends readonly string[]>(...names: Names) {
  const { clock, pass } = virtualClock();
  const left = new Map<string, { readonly at: number; readonly text: string }>();
  const store = { refuses: false, left };
  const start = (replica: string, configuration = 'c1') => {
    const state = {
      counts: { ...NO_COUNTS } as RecentCounts,
      /** As the counts, if it is not set. */
      lately: undefined as ShareCounts | undefined,
      configuration,
      keyRing: { id: 'k1', digests: ['1'] },
      alive: true,
      fullSince: 0,
      downMs: 0,
      silentMs: 0,
      keysFail: false,
      host: 'vendor.example',
      domains: 1,
    };
    const id = `${replica}-${left.size}`;
    const lines: object[] = [];
    const others = (): LeftSummary[] =>
      [...left].flatMap(([other, { at, text }]) =>
        other === id ? [] : [{ id: other, ageMs: clock.now() - at, text, isSigned: true }],
      );
    const failing = (reason: string, ms: number, failures: number) => failingContact(clock, reason, ms, failures);
    const fleet = new Fleet({
      clock,
      log: {
        warn: (fields, message) => lines.push({ level: 'warn', ...fields, message }),
        info: (fields, message) => lines.push({ level: 'info', ...fields, message }),
      },
      summaries: {
        async leave(text) {
          if (store.refuses) throw new BrokerError('store_unavailable');
          if (state.alive) left.set(id, { at: clock.now(), text });
        },
        others: async () => others(),
        async end(more = []) {
          for (const one of [id, ...more]) left.delete(one);
        },
      },
      replica,
      version: '1.0.0',
      configuration: () => state.configuration,
      keyRing: () => state.keyRing,
      facts: () => ({
        ...factsAt(clock),
        counts: state.counts,
        lately: state.lately ?? state.counts,
        reasons: { logins: 'timeout' },
        redis: {
          outage: state.silentMs ? failing('timeout', state.silentMs, 9) : undefined,
          refusedWrites: state.fullSince ? failing('oom', clock.now() - state.fullSince, 1) : undefined,
          losses: [],
        },
        vendorDomains: Array.from({ length: state.domains }, (_, domain) => ({
          ...DOMAIN,
          host: state.host + (domain || ''),
          ...(state.downMs > 0 && { circuit: 'open' as const, ...failing('timeout', state.downMs, 20) }),
        })),
        sessionServer: state.keysFail ? failing('ECONNREFUSED', 0, 1) : undefined,
      }),
    });
    fleet.start();
    const reportOf = (summaries: readonly LeftSummary[] | undefined, outlook?: ScheduleOutlook) => {
      const report = fleet.report(summaries, outlook);
      return { ...report, codes: report.findings.map(({ code }) => code) };
    };
    return {
      state,
      lines,
      /** Sets what it counted in five minutes, and lately if that is something else. */
      sees(counts: Partial<RecentCounts>, lately?: Partial<ShareCounts>) {
        state.counts = { ...NO_COUNTS, ...counts };
        state.lately = lately && { ...NO_SHARES, ...lately };
      },
      die: () => {
        state.alive = false;
      },
      reportAlone: () => reportOf(undefined),
      stop: () => {
        state.alive = false;
        return fleet.stop();
      },
      report: (more: Omit<LeftSummary, 'id'>[] = [], outlook?: ScheduleOutlook) =>
        reportOf([...others(), ...more.map((one, at) => ({ id: `${at}`, ...one }))], outlook),
    };
  };
  type Replica = ReturnType<typeof start>;
  const replicas = names.map((name) => start(name)) as { [Name in keyof Names]: Replica };
  return [{ clock, pass, store, start }, ...replicas] as const;
}

/** A summary of another replica, with other fields than usual. */
function summary(fields: object) {
  const usual = { replica: 'z', version: '1.0.0', configuration: 'c1', startedAt: 0, configuredAt: 0 };
  const text = JSON.stringify({ ...usual, findings: [], counts: {}, lately: {}, ...fields });
  return { ageMs: 0, isSigned: true, text };
}

describe('a fleet', () => {
  test('shows every replica with its version, its configuration and its clock', async () => {
    const [{ clock, pass }, one] = createFleet('b', 'c', 'a');
    const startedAt = new Date(clock.now()).toISOString();
    await pass(1_000);
    const { findings, replicas } = one.report();
    const state = {
      version: '1.0.0',
      configuration: 'c1',
      clockOffsetSeconds: 0.005,
      findings: [],
      missingSince: null,
    };
    expect(replicas.map(({ replica }) => replica)).toEqual(['b', 'a', 'c']);
    for (const replica of replicas) expect(replica).toMatchObject({ ...state, startedAt });
    expect(findings).toEqual([]);
  });

  test('leaves out what a replica saw whose summary is old, and its findings: they may be over', async () => {
    const [{ pass, store }, one, other] = createFleet('a', 'b');
    other.sees({ logins: 100, failedLogins: 90 });
    await pass(6_000);
    expect(one.report().codes).toEqual(['vendor_fails_logins']);
    store.refuses = true;
    await pass(12_000);
    const { findings, replicas } = one.report();
    expect(findings).toEqual([]);
    expect(replicas.map(({ replica, findings: found }) => [replica, found])).toEqual([
      ['a', []],
      ['b', null],
    ]);
  });

  test('adds up what its replicas saw: no share of one alone is above the threshold', async () => {
    const [{ pass }, ...replicas] = createFleet('a', 'b', 'c');
    for (const { sees } of replicas) sees({ logins: 10, failedLogins: 4, endedTokens: 2, endedByRenewals: 2 });
    await pass(6_000);
    const { findings, tokensEnded } = replicas[1]?.report() ?? { findings: [], tokensEnded: 0 };
    expect(findings).toMatchObject([
      { code: 'vendor_fails_logins', count: 12, share: 0.4, reason: 'timeout' },
      { code: 'tokens_ended', count: 6 },
      { code: 'renewals_end_tokens', count: 6 },
    ]);
    expect(tokensEnded).toBe(6);
  });

  test('shows what one replica alone finds on each replica: its name, why, how much, how often and since when', async () => {
    const [{ clock, pass }, one, other] = createFleet('a', 'b');
    one.sees({ logins: 20, failedLogins: 20 });
    other.sees({ logins: 1_000 });
    one.state.fullSince = clock.now();
    const since = clock.now() + 5_000;
    await pass(12_000);
    const failing = { code: 'vendor_fails_logins', count: 20, share: 1, reason: 'timeout', since, replicas: ['a'] };
    for (const { report } of [one, other]) {
      const { findings } = report();
      expect(findings).toMatchObject([{ code: 'redis_refuses_writes', reason: 'oom' }, failing]);
      expect(findings[0]?.message).toContain('its memory is full');
    }
    expect(other.report().replicas.map(({ findings }) => findings)).toEqual([
      [],
      ['redis_refuses_writes', 'vendor_fails_logins'],
    ]);
  });

  test('tells of a fault of some replicas what the one knows that saw most, and when the first one saw it', async () => {
    const [{ clock, pass }, one, other, rest] = createFleet('a', 'b', 'c');
    rest.sees({ logins: 2_000 });
    const begun = clock.now();
    one.sees({ logins: 20, slowLogins: 20 });
    await pass(60_000);
    other.sees({ logins: 40, slowLogins: 40 });
    await pass(6_000);
    const [found] = rest.report().findings;
    expect(found).toMatchObject({ code: 'vendor_slow', count: 40, replicas: ['a', 'b'] });
    expect(found?.since).toBeLessThan(begun + 10_000);
  });

  test('names the new replica that cannot check sessions, with the share of all and the reason', async () => {
    const [{ pass }, one, , fresh] = createFleet('a', 'b', 'c');
    for (const { sees } of [one, fresh]) sees({ sessions: 100 });
    fresh.sees({ sessions: 100, uncheckedSessions: 100 });
    fresh.state.keysFail = true;
    await pass(6_000);
    const found = { code: 'session_check_fails', share: 0.5, reason: 'ECONNREFUSED', replicas: ['c'] };
    for (const { report } of [one, fresh]) expect(report().findings).toMatchObject([found]);
    one.sees({ sessions: 100, uncheckedSessions: 4 });
    await pass(6_000);
    expect(one.report().findings).toEqual([expect.not.objectContaining({ replicas: expect.anything() })]);
  });

  test('says first that only replicas with another configuration have a fault', async () => {
    const [{ pass, start }, ...others] = createFleet('a', 'b');
    const wrong = start('c', 'c2');
    for (const { sees } of [...others, wrong]) sees({ logins: 100 });
    wrong.sees({ logins: 100, rejectedLogins: 100 });
    await pass(6_000);
    const [found] = others[0].report().findings;
    expect(found).toMatchObject({ code: 'vendor_rejects', replicas: ['c'], onlyDifferent: true });
    expect(found?.message).toMatch(
      /^Only replicas with another version or configuration have it: c\. The vendor refuses/,
    );
    others[1].state.configuration = 'c2';
    await pass(6_000);
    expect(others[0].report().findings[0]).not.toHaveProperty('onlyDifferent', true);
  });

  test('does not go on with what a replica saw, once the fleet knows that it is over', async () => {
    const [{ pass }, one, other] = createFleet('a', 'b');
    const look = async (lately: Partial<ShareCounts>, otherLately: Partial<ShareCounts>) => {
      one.sees({ logins: 60, failedLogins: 12 }, lately);
      other.sees({ logins: 60, failedLogins: 12 }, otherLately);
      await pass(6_000);
      return one.report().codes;
    };
    const failing = { logins: 20, failedLogins: 4 };
    expect(await look(failing, failing)).toEqual(['vendor_fails_logins']);
    // Of these few logins, the other replica cannot tell. The fleet can.
    expect(await look({ logins: 80 }, { logins: 5 })).toEqual([]);
    expect(other.report().replicas[0]?.findings).toEqual(['vendor_fails_logins']);
    expect(await look({ logins: 80 }, { logins: 5, failedLogins: 1 })).toEqual(['vendor_fails_logins']);
  });

  test('begins anew what was over, and names no replica for a fault that the others see begin', async () => {
    const [{ clock, pass }, one, other] = createFleet('a', 'b');
    const look = async (logins: number, otherLogins: number, lately: Partial<ShareCounts>) => {
      one.sees({ logins, failedLogins: 12 }, lately);
      other.sees({ logins: otherLogins, failedLogins: 12 }, lately);
      await pass(6_000);
      return one.report().findings;
    };
    expect(await look(60, 60, { logins: 20, failedLogins: 10 })).toMatchObject([{ code: 'vendor_fails_logins' }]);
    // Each of them has too few logins to know. The fleet does.
    expect(await look(60, 60, { logins: 40 })).toEqual([]);
    await pass(60_000);
    const begun = clock.now();
    const [again] = await look(120, 200, { logins: 20, failedLogins: 4 });
    expect(again).toMatchObject({ code: 'vendor_fails_logins' });
    expect(again?.replicas).toBeUndefined();
    expect(again?.since).toBeGreaterThanOrEqual(begun - 5_000);
  });

  test('does not blame one replica for a fault that another one begins to see', async () => {
    const [{ pass }, one, busy] = createFleet('a', 'b');
    one.sees({ logins: 60, failedLogins: 12 }, { logins: 20, failedLogins: 10 });
    busy.sees({ logins: 3_000, failedLogins: 4 }, { logins: 300, failedLogins: 4 });
    await pass(6_000);
    expect(busy.report().findings).toMatchObject([{ code: 'vendor_fails_logins', replicas: ['a'] }]);
    busy.sees({ logins: 3_000, failedLogins: 4 }, { logins: 300, failedLogins: 20 });
    await pass(6_000);
    expect(busy.report().findings).toEqual([expect.not.objectContaining({ replicas: expect.anything() })]);
  });

  test('does not keep a share because somebody asked this replica long ago', async () => {
    const [{ pass }, asked, other] = createFleet('a', 'b');
    const look = async (failedLogins: number) => {
      other.sees({ logins: 100, failedLogins });
      await pass(6_000);
    };
    await look(60);
    expect(asked.report().findings).toMatchObject([{ code: 'vendor_fails_logins' }]);
    await look(0);
    await pass(60_000);
    await look(6);
    for (const { report } of [asked, other]) expect(report().findings).toEqual([]);
  });

  test('does not miss a replica that was killed and is back, also if its clock is behind', async () => {
    const [{ clock, pass, store }, one, killed] = createFleet('a', 'b');
    await pass(6_000);
    killed.die();
    await pass(3_000);
    const [, last] = [...store.left.values()];
    const startedAt = clock.now() - 10_000;
    await pass(21_000);
    expect(one.report().findings).toMatchObject([{ code: 'replica_missing', replicas: ['b'] }]);
    const text = JSON.stringify({ ...JSON.parse(last?.text ?? ''), startedAt, clockOffsetMs: -10_000 });
    store.left.set('b again', { at: clock.now(), text });
    expect(one.report().findings).toEqual([]);
    expect(one.report().replicas.map(({ replica }) => replica)).toEqual(['a', 'b']);
  });

  test.each([3_600_000, -3_600_000, 0])(
    'says by its own clock since when a replica sees a finding whose clock is %i ms ahead',
    async (aheadMs) => {
      const [{ clock, pass, store }, one, { state }] = createFleet('a', 'b');
      state.downMs = 60_000;
      await pass(6_000);
      const [id = '', left] = [...store.left].find(([, { text }]) => text.includes('vendor_down')) ?? [];
      const summary = JSON.parse(left?.text ?? '');
      const findings = [{ ...summary.findings[0], since: summary.findings[0].since + aheadMs }];
      const text = JSON.stringify({ ...summary, clockOffsetMs: 8 + aheadMs, findings });
      store.left.set(id, { at: clock.now(), text });
      const since = summary.findings[0].since;
      expect(one.report().findings).toMatchObject([{ code: 'vendor_down', since, replicas: ['b'] }]);
    },
  );

  test('keeps what the fleet found until it is known that the store is down', async () => {
    const [{ clock, pass }, one, other] = createFleet('a', 'b');
    other.state.fullSince = clock.now();
    await pass(6_000);
    const late = { dueWithin: [7], total: 7, overdueMs: 300_000 };
    expect(one.report([], late).codes).toEqual(['redis_refuses_writes', 'renewals_late']);
    expect(one.reportAlone().codes).toEqual(['redis_refuses_writes', 'renewals_late']);
    expect(one.reportAlone().replicas).toHaveLength(2);
    one.state.silentMs = 5_000;
    expect(one.reportAlone().codes).toEqual(['redis_unreachable']);
    one.state.silentMs = 0;
    await pass(21_000);
    expect(one.reportAlone().codes).toEqual([]);
  });

  test('shows each domain that is down for some replicas, with what each of them knows', async () => {
    const [{ clock, pass }, one, cn, eu, both] = createFleet('a', 'b', 'c', 'd');
    Object.assign(cn.state, { downMs: 60_000, host: 'cn.example' });
    for (const { state } of [eu, both]) Object.assign(state, { downMs: 90_000, host: 'eu.example' });
    await pass(6_000);
    const at = (ms: number) => expect.closeTo(clock.now() - ms, -4);
    expect(one.report().findings).toMatchObject([
      { code: 'vendor_down', host: 'cn.example', since: at(60_000), replicas: ['b'] },
      { code: 'vendor_down', host: 'eu.example', since: at(90_000), replicas: ['c', 'd'] },
    ]);
    expect(cn.report().findings.map(({ host, replicas }) => [host, replicas])).toEqual([
      ['cn.example', ['b']],
      ['eu.example', ['c', 'd']],
    ]);
    expect(one.report().replicas.map(({ findings }) => findings)).toEqual([[], ...Array(3).fill(['vendor_down'])]);
  });

  test('sees that all replicas together have no login at night, and that one account is not many', async () => {
    const [{ pass }, ...replicas] = createFleet('a', 'b', 'c');
    const look = async (...seen: readonly (readonly [logins: number, failedAccounts: number])[]) => {
      for (const [at, [halfHourLogins, failedAccounts]] of seen.entries())
        replicas[at]?.sees({ halfHourLogins, halfHourFailedLogins: 2, failedAccounts });
      await pass(6_000);
      return replicas.map(({ report }) => report().codes);
    };
    expect(await look([2, 1], [2, 1], [2, 1])).toEqual([[], [], []]);
    expect(await look([2, 1], [2, 2], [2, 2])).toEqual(Array(3).fill(['vendor_fails_logins']));
    expect(await look([3, 1], [2, 2], [2, 2])).toEqual([[], [], []]);
  });

  test.each([
    ['seen by each replica', 10],
    ['seen by the fleet alone', 1],
  ])(
    'turns while all sessions are refused after a busy time, and keeps its verdict near the threshold: %s',
    async (_, times) => {
      const [{ pass }, ...replicas] = createFleet('a', 'b', 'c');
      const see = async (refused: number) => {
        for (const { sees } of replicas)
          sees({ sessions: 3_000, refusedSessions: 60 }, { sessions: 10 * times, refusedSessions: refused * times });
        await pass(6_000);
        const found = replicas.map(({ report }) => report().findings.map(({ code, share }) => [code, share]));
        expect(found[1]).toEqual(found[0]);
        return found[0];
      };
      expect(await see(7)).toEqual([]);
      expect(await see(8)).toEqual([['sessions_refused', 0.8]]);
      expect(await see(7)).toEqual([['sessions_refused', 0.7]]);
      expect(await see(3)).toEqual([]);
      expect(await see(7)).toEqual([]);
    },
  );

  test('leaves a summary that the store reads, however many domains are down', async () => {
    const [{ pass, store }, one] = createFleet('a');
    Object.assign(one.state, { downMs: 60_000, host: 'h'.repeat(40), domains: 30 });
    await pass(6_000);
    const [{ text } = { text: '' }] = store.left.values();
    expect(one.report().findings).toHaveLength(30);
    expect(text.length).toBeLessThan(4_000);
    expect(JSON.parse(text).findings).toHaveLength(12);
  });

  test('blames no replica for a fault of Redis, and does not say that a silent one is fine', async () => {
    const [{ clock, pass, store }, one, other] = createFleet('a', 'b');
    await pass(10_000);
    one.state.fullSince = clock.now();
    // The summary that says so is the last one that Redis takes.
    await pass(5_000);
    expect(one.report().findings).toEqual([expect.not.objectContaining({ replicas: expect.anything() })]);
    store.refuses = true;
    await pass(11_000);
    one.sees({ logins: 20, slowLogins: 20 });
    for (const { report } of [one, other]) expect(report().replicas.map((of) => of.findings)[1]).toBeNull();
    const { findings } = one.report();
    expect(findings.map(({ code, replicas }) => [code, replicas])).toEqual([
      ['redis_refuses_writes', undefined],
      ['vendor_slow', undefined],
    ]);
  });

  test('takes the failed logins of an outage that has just ended for no new fault', async () => {
    const [{ clock, pass }, one] = createFleet('a');
    one.sees({ logins: 20, failedLogins: 20 });
    one.state.downMs = 60_000;
    const since = clock.now() - 60_000;
    expect(one.report().findings).toMatchObject([{ code: 'vendor_down', since }]);
    one.state.downMs = 0;
    await pass(3_000);
    expect(one.report().findings).toMatchObject([{ code: 'vendor_fails_logins', since }]);
    one.sees({ logins: 20, failedLogins: 20 }, { logins: 40 });
    expect(one.report().findings).toEqual([]);
  });

  test('misses a replica that ended without a word for 20 s, and forgets it after 15 minutes', async () => {
    const [{ clock, pass }, one, other] = createFleet('a', 'b');
    await pass(30_000);
    other.die();
    const lastAt = clock.now();
    await pass(19_000);
    expect(one.report().findings).toEqual([]);
    await pass(6_000);
    const [missing] = one.report().findings;
    expect(missing).toMatchObject({ code: 'replica_missing', count: 1, replicas: ['b'] });
    expect(Math.abs((missing?.since ?? 0) - lastAt)).toBeLessThanOrEqual(5_000);
    expect(one.report().replicas).toHaveLength(2);
    await pass(15 * 60_000);
    expect(one.report()).toMatchObject({ findings: [], replicas: [{ replica: 'a' }] });
  });

  test('does not miss a killed replica that started again under its name and then shut down', async () => {
    const [{ pass, start }, one, killed, other] = createFleet('a', 'b', 'c');
    await pass(30_000);
    killed.die();
    await pass(3_000);
    const again = start('b');
    await pass(30_000);
    expect(one.report()).toMatchObject({ findings: [], replicas: [{}, {}, {}] });
    await again.stop();
    await pass(30_000);
    expect(one.report().findings).toEqual([]);
    expect(one.report().replicas.map(({ replica }) => replica)).toEqual(['a', 'c']);
    other.die();
    await pass(30_000);
    expect(one.report().findings).toMatchObject([{ code: 'replica_missing', replicas: ['c'] }]);
  });

  test('misses nobody right after an outage of the store', async () => {
    const [{ pass, store }, one, other] = createFleet('a', 'b');
    await pass(30_000);
    store.refuses = true;
    await pass(60_000);
    store.refuses = false;
    other.die();
    await pass(10_000);
    expect(one.report().findings).toEqual([]);
    await pass(15_000);
    expect(one.report().findings).toMatchObject([{ code: 'replica_missing' }]);
  });

  test('shows within 10 s that replicas encrypt with different keys', async () => {
    const [{ pass }, one, other] = createFleet('a', 'b');
    await pass(60_000);
    Object.assign(other.state, { configuration: 'c2', keyRing: { id: 'k2', digests: ['2'] } });
    await pass(6_000);
    expect(one.report().findings).toMatchObject([{ code: 'configuration_differs', reason: 'k1 (a), k2 (b)' }]);
    Object.assign(other.state, { keyRing: { id: 'k2', digests: ['2', '1'] } });
    Object.assign(one.state, { keyRing: { id: 'k1', digests: ['1', '2'] } });
    await pass(6_000);
    expect(one.report().findings).toEqual([]);
  });

  test.each([
    ['another one', 'c1'],
    ['one with the new configuration, alone', 'c2'],
  ])('shows a forgotten reload although a replica starts again and again: %s', async (_, configuration) => {
    const [{ pass, start }, one] = createFleet('a');
    let other = start('b');
    if (configuration === 'c1') start('c').state.configuration = 'c2';
    const codes = () => one.report().codes;
    for (let restart = 0; restart < 4; restart += 1) {
      await other.stop();
      // Somebody looks while it is away.
      codes();
      await pass(2_000);
      other = start('b', configuration);
      for (let seconds = 0; seconds < 120; seconds += 30) {
        await pass(30_000);
        codes();
      }
    }
    expect(codes()).toEqual(['configuration_differs']);
  });

  test.each([
    ['the same one, after all were seen alike', 'c2', true],
    ['another one', 'c3', false],
  ])('gives a new difference five minutes, too: %s', async (_, configuration, isLooked) => {
    const [{ clock, pass, start }, one, first, second] = createFleet('a', 'b-1', 'b-2');
    second.state.configuration = 'c2';
    await pass(6 * 60_000);
    expect(one.report().findings).toMatchObject([{ code: 'configuration_differs', replicas: ['b-2'] }]);
    second.state.configuration = 'c1';
    await pass(6_000);
    if (isLooked) expect(one.report().findings).toEqual([]);
    await first.stop();
    const again = start('b-1', configuration);
    const since = clock.now();
    await pass(1_000);
    expect(one.report().findings).toEqual([]);
    for (let minute = 0; minute < 5; minute += 1) {
      await pass(59_000);
      expect(one.report().findings).toEqual([]);
    }
    await pass(10_000);
    expect(again.report().findings).toMatchObject([{ code: 'configuration_differs', replicas: ['b-1'], since }]);
    expect(one.report().findings).toMatchObject([{ code: 'configuration_differs', replicas: ['b-1'], since }]);
  });

  test('ignores what no broker has left, and codes of a later version', async () => {
    const [{ pass }, one] = createFleet('a', 'b');
    await pass(1_000);
    const later = { version: '2.0.0', findings: [{ code: 'moon_is_full', since: 1 }], counts: { reads: 'many' } };
    const texts = ['', 'null', '{}', '[1]', '{"replica":1}'].map((text) => ({ ageMs: 0, text, isSigned: true }));
    const { replicas, codes } = one.report([...texts, summary(later)]);
    expect(replicas.map(({ replica, findings }) => [replica, findings])).toEqual([
      ['a', []],
      ['b', []],
      ['z', []],
    ]);
    // It has another version.
    expect(codes).toEqual([]);
  });

  test.each([
    ['a start', { startedAt: 1e300 }],
    ['a configuration', { configuredAt: -1e300 }],
    ['a finding', { findings: [{ code: 'vendor_down', since: 1e300 }] }],
    ['a clock', { clockOffsetMs: 1e300 }],
  ])('ignores a summary with an impossible time: %s', async (_, forged) => {
    const [{ pass }, one] = createFleet('a');
    await pass(1_000);
    expect(one.report([summary(forged)]).replicas.map(({ replica }) => replica)).toEqual(['a']);
  });

  test('shows each of 199 other replicas, as many as the store keeps beside its own summary', async () => {
    const [{ pass }, one] = createFleet('a');
    await pass(1_000);
    const left = Array.from({ length: 199 }, (_, number) => summary({ replica: `z${number}` }));
    expect(one.report(left).replicas).toHaveLength(200);
  });

  test('logs one line when a finding begins and one when it is over', async () => {
    const [{ pass }, { sees, lines }] = createFleet('a');
    await pass(1_000);
    sees({ logins: 20, failedLogins: 20 });
    await pass(60_000);
    sees({});
    await pass(60_000);
    expect(lines).toMatchObject([
      { level: 'warn', finding: 'vendor_fails_logins', count: 20, share: 1, message: expect.any(String) },
      { level: 'info', finding: 'vendor_fails_logins', seconds: 60, message: 'a finding is over' },
    ]);
  });

  test('shows one finding, while a fault comes and goes within a minute', async () => {
    const [{ pass }, a] = createFleet('a');
    const begun = async (silentMs: number, ms: number) => {
      a.state.silentMs = silentMs;
      await pass(ms);
      return a.report().findings.map(({ since }) => since);
    };
    const [since] = await begun(10_000, 20_000);
    expect(await begun(0, 20_000)).toEqual([]);
    for (let time = 0; time < 7; time += 1) {
      expect(await begun(10_000, 20_000)).toEqual([since]);
      expect(await begun(0, 50_000)).toEqual([since]);
    }
    expect(await begun(0, 20_000)).toEqual([]);
    expect(a.lines).toHaveLength(4);
    expect(await begun(10_000, 20_000)).not.toEqual([since]);
  });

  test('logs one line when another replica is missing or differs, and one when this is over', async () => {
    const [{ pass }, one, other, killed] = createFleet('a', 'b', 'c');
    other.state.configuration = 'c2';
    const scrape = async (minutes: number) => {
      for (let second = 0; second < minutes * 60; second += 15) {
        await pass(15_000);
        one.report();
      }
    };
    await scrape(6);
    killed.die();
    await scrape(2);
    other.state.configuration = 'c1';
    await scrape(20);
    expect(one.lines).toMatchObject([
      { level: 'warn', finding: 'configuration_differs', replicas: ['b'] },
      { level: 'warn', finding: 'replica_missing', count: 1, replicas: ['c'] },
      { level: 'info', finding: 'configuration_differs', message: 'a finding is over' },
      { level: 'info', finding: 'replica_missing', message: 'a finding is over' },
    ]);
  });
});
