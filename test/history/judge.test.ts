import { describe, expect, it } from 'vitest';
import { reportFindings } from './finding-report.ts';
import type { Exchange, Fault, History, VendorLogin } from './history.ts';
import { judge, type RuleName } from './judge.ts';

const PHONE = { account: 'anna', uniqueId: 'phone-1' };
const REMOVED = 'no token from before a logout or an erasure is served after it';
const IN_FLIGHT = 'a login that is in flight at a logout or an erasure goes nowhere';
const OLD_SESSION = 'a session from before an erasure stays refused';
const ERASED = 'an erased account does not exist';
const NEW_SESSION =
  'an erasure refuses no session that was issued after it, and no write has an effect after its error';
const LIVE = 'each served token is one that the vendor takes';
const ONE_LOGIN = 'one login per terminal at a time';
const REASON = 'each login has a reason';
const STORM = 'no storm of logins';
const QUIET = 'no read fails while all is quiet';
const ENDS = 'every read ends';
const CODES = 'only codes of the contract';
const OWNER = 'a token belongs to the terminal that asked';
const REPORTER = 'a refused token is not returned to its reporter';
const FINALLY = 'in the end every replica serves every terminal';

/** A login from `receivedAt` to `answeredAt`. Its token lives for a minute. */
function login(token: string, receivedAt: number, answeredAt = receivedAt + 50, more: Partial<VendorLogin> = {}) {
  return { ...PHONE, receivedAt, answeredAt, token, expiresAt: answeredAt + 60_000, isDelivered: true, ...more };
}

/** A request that is answered after 5 ms. Reads are answered with `token`. */
function exchange(kind: Exchange['kind'], sentAt: number, more: Partial<Exchange> = {}): Exchange {
  const status = kind === 'logout' || kind === 'erasure' ? 204 : 200;
  const uniqueId = kind === 'erasure' || kind === 'account' ? {} : { uniqueId: PHONE.uniqueId };
  const session = kind === 'erasure' || kind === 'account' ? {} : { sessionIssuedAt: 0 };
  return {
    kind,
    account: PHONE.account,
    replica: 0,
    sentAt,
    endedAt: sentAt + 5,
    status,
    ...uniqueId,
    ...session,
    ...more,
  };
}

const read = (sentAt: number, token: string, more: Partial<Exchange> = {}) =>
  exchange('read', sentAt, { token, ...more });
const failed = (sentAt: number, status: number, code: string, more: Partial<Exchange> = {}) =>
  exchange('read', sentAt, { status, code, ...more });

function fault(kind: Fault['kind'], from: number, until: number, more: Partial<Fault> = {}): Fault {
  return { kind, from, until, description: '', ...more };
}

function brokenRules(
  exchanges: readonly Exchange[],
  logins: readonly VendorLogin[],
  faults: readonly Fault[] = [],
  topology: History['topology'] = 'single',
): RuleName[] {
  return [...new Set(judge({ topology, exchanges, logins, faults }).map(({ rule }) => rule))];
}

it('a history without a mistake has no finding', () => {
  const exchanges = [
    read(1_000, 'a'),
    exchange('logout', 5_000),
    read(6_000, 'b'),
    exchange('erasure', 10_000),
    failed(10_100, 401, 'session_invalid'),
    exchange('account', 11_500, { status: 404, code: 'not_found' }),
    read(12_000, 'c', { sessionIssuedAt: 11_900 }),
    exchange('account', 13_000),
  ];
  expect(brokenRules(exchanges, [login('a', 900), login('b', 5_950), login('c', 11_950)])).toEqual([]);
});

describe('after a logout', () => {
  const logins = [login('a', 900)];
  const logout = exchange('logout', 5_000);

  it('a token from before it may be served within the bound', () => {
    expect(brokenRules([logout, read(11_000, 'a', { replica: 1 })], logins)).toEqual([]);
  });

  it('a token from before it may not be served beyond the bound, also after a fault that began later', () => {
    expect(brokenRules([logout, read(11_100, 'a', { replica: 1 })], logins)).toEqual([REMOVED]);
    const later = [fault('link', 11_020, 12_000, { replica: 1 })];
    expect(brokenRules([logout, read(18_100, 'a', { replica: 1 })], logins, later)).toEqual([REMOVED]);
  });

  it('a replica that cannot reach Redis has its bound from the end of the fault', () => {
    const cut = [fault('link', 4_000, 15_000, { replica: 1 })];
    expect(brokenRules([logout, read(20_900, 'a', { replica: 1 })], logins, cut)).toEqual([]);
    expect(brokenRules([logout, read(21_100, 'a', { replica: 1 })], logins, cut)).toEqual([REMOVED]);
    expect(brokenRules([logout, read(20_900, 'a', { replica: 2 })], logins, cut)).toEqual([REMOVED]);
  });

  it('a login that the vendor received after the logout was sent is a new one', () => {
    expect(brokenRules([logout, read(20_000, 'b')], [login('b', 5_001)])).toEqual([]);
  });

  it('an asynchronous failover may have lost it, if it was answered at that moment', () => {
    const near = [fault('failover-planned', 5_500, 6_500)];
    expect(brokenRules([logout, read(30_000, 'a')], logins, near, 'sentinel')).toEqual([]);
    const earlier = [fault('failover-planned', 1_500, 2_600)];
    expect(brokenRules([logout, read(30_000, 'a')], logins, earlier, 'sentinel')).toEqual([REMOVED]);
  });

  it('an old Redis may bring the token back until the replicas have healed it', () => {
    const old = [fault('redis-old', 8_000, 9_000, { dataOf: 4_000 })];
    expect(brokenRules([logout, read(18_900, 'a')], logins, old)).toEqual([]);
    expect(brokenRules([logout, read(19_100, 'a')], logins, old)).toEqual([REMOVED]);
    const newerData = [fault('redis-old', 8_000, 9_000, { dataOf: 6_000 })];
    expect(brokenRules([logout, read(18_900, 'a')], logins, newerData)).toEqual([REMOVED]);
  });

  it('an old Redis brings it back for good if no replica remembers the logout', () => {
    const old = fault('redis-old', 8_000, 9_000, { dataOf: 4_000 });
    const restarts = [0, 1, 2].map((replica) => fault('kill', 6_000 + replica, 7_000, { replica }));
    expect(brokenRules([logout, read(40_000, 'a')], logins, [old, ...restarts])).toEqual([]);
    expect(brokenRules([logout, read(40_000, 'a')], logins, [old, ...restarts.slice(1)])).toEqual([REMOVED]);
  });

  it('on a cluster, a lost announcement may hide it for a minute', () => {
    const broke = [fault('cluster-master', 4_000, 6_500)];
    const lostWrites = exchange('logout', 7_000);
    expect(brokenRules([lostWrites, read(60_000, 'a', { replica: 1 })], logins, broke, 'cluster')).toEqual([]);
  });
});

describe('a login that is in flight at a logout', () => {
  const slow = [login('a', 2_000, 5_000)];
  const logout = exchange('logout', 3_500);

  it('goes nowhere, not even to the read that began it', () => {
    expect(brokenRules([logout, read(1_990, 'a', { endedAt: 5_005 })], slow)).toEqual([IN_FLIGHT]);
    expect(brokenRules([logout, read(6_000, 'a', { replica: 2 })], slow)).toEqual([IN_FLIGHT]);
  });

  it('may be answered with its token if the answer was on its way, or Redis could not be reached', () => {
    const late = exchange('logout', 4_400);
    expect(brokenRules([late, read(1_990, 'a', { endedAt: 5_005 })], slow)).toEqual([]);
    const stall = [fault('redis-stall', 3_000, 3_900)];
    expect(brokenRules([logout, read(1_990, 'a', { endedAt: 5_005 })], slow, stall)).toEqual([]);
  });

  it('also goes nowhere if Redis stalled only before the logout', () => {
    const stall = [fault('redis-stall', 1_800, 2_600)];
    expect(brokenRules([logout, read(1_990, 'a', { endedAt: 5_005 })], slow, stall)).toEqual([IN_FLIGHT]);
  });
});

describe('after an erasure', () => {
  const erasure = exchange('erasure', 5_000);

  it('older sessions stay refused, and newer ones are accepted', () => {
    const newer = { sessionIssuedAt: 5_100 };
    expect(brokenRules([erasure, read(20_000, 'b')], [login('b', 19_900)])).toEqual([OLD_SESSION]);
    expect(brokenRules([erasure, read(20_000, 'b', newer)], [login('b', 19_900)])).toEqual([]);
    expect(brokenRules([erasure, failed(7_000, 401, 'session_invalid', newer)], [])).toEqual([NEW_SESSION, QUIET]);
  });

  it('a replica that has restarted since need not know of it while Redis is down', () => {
    const events = [[erasure, read(20_000, 'b')], [login('b', 19_900)]] as const;
    const [kill, down] = [fault('kill', 9_000, 11_000, { replica: 0 }), fault('redis-restart', 19_800, 20_100)];
    expect(brokenRules(...events, [kill, down])).toEqual([]);
    expect(brokenRules(...events, [kill])).toEqual([OLD_SESSION]);
    expect(brokenRules(...events, [down])).toEqual([OLD_SESSION]);
    expect(brokenRules(...events, [{ ...kill, replica: 1 }, down])).toEqual([OLD_SESSION]);
  });

  it('the account is gone until its next login', () => {
    const found = exchange('account', 8_000);
    expect(brokenRules([erasure, found], [login('a', 900)])).toEqual([ERASED]);
    expect(brokenRules([erasure, found], [login('a', 900), login('b', 7_500)])).toEqual([]);
  });

  it('an erasure that was answered with an error has no effect later', () => {
    const refused = exchange('erasure', 5_000, { status: 503, code: 'store_unavailable' });
    const stall = [fault('link', 4_900, 9_000, { replica: 0 })];
    const session = { sessionIssuedAt: 6_000 };
    expect(brokenRules([refused, failed(8_000, 401, 'session_invalid', session)], [], stall)).toEqual([]);
    const later = { sessionIssuedAt: 6_100 };
    expect(brokenRules([refused, failed(9_500, 401, 'session_invalid', later)], [], stall)).toEqual([NEW_SESSION]);
  });
});

describe('a token that a later login has ended', () => {
  const logins = [login('a', 1_000), login('b', 5_000)];
  const report = exchange('report', 4_990, { reported: 'a', token: 'b', endedAt: 5_060 });

  it('is not served beyond the bound', () => {
    expect(brokenRules([report, read(11_000, 'a', { replica: 1 })], logins)).toEqual([]);
    expect(brokenRules([report, read(11_100, 'a', { replica: 1 })], logins)).toEqual([LIVE]);
  });

  it('may be served for longer after a fault, but not for ever', () => {
    const stall = [fault('redis-stall', 4_900, 6_000)];
    expect(brokenRules([read(15_900, 'a')], logins, stall)).toEqual([]);
    expect(brokenRules([read(16_100, 'a')], logins, stall)).toEqual([LIVE]);
  });

  it('may be served again if Redis has lost the newer one, and no replica can write it back', () => {
    const old = fault('redis-old', 8_000, 9_000, { dataOf: 4_000 });
    const known = read(6_000, 'b', { replica: 2 });
    expect(brokenRules([report, known, read(30_000, 'a')], logins, [old])).toEqual([LIVE]);
    const kills = [0, 2].map((replica) => fault('kill', 7_000, 7_500, { replica }));
    expect(brokenRules([report, known, read(30_000, 'a')], logins, [old, ...kills])).toEqual([]);
  });

  it('is served until a report if the broker cannot know of the later login', () => {
    expect(
      brokenRules([report, read(30_000, 'a')], [login('a', 1_000), login('b', 5_000, 5_050, { isDelivered: false })]),
    ).toEqual([]);
    expect(brokenRules([report, read(30_000, 'a')], logins, [fault('kill', 5_040, 7_000, { replica: 2 })])).toEqual([]);
  });

  it('is not served after it has expired, unless the clocks differ', () => {
    expect(brokenRules([read(61_100, 'a')], [login('a', 1_000)])).toEqual([LIVE]);
    const jumped = [fault('clock', 50_000, 52_000, { replica: 1, offsetMs: -5_000 })];
    expect(brokenRules([read(61_100, 'a')], [login('a', 1_000)], jumped)).toEqual([]);
  });
});

describe('the logins of a terminal', () => {
  it('run one at a time, except after a fault of Redis or a replica', () => {
    const both = [login('a', 30_000, 33_000), login('b', 31_000, 34_000)];
    expect(brokenRules([], both)).toEqual([ONE_LOGIN]);
    expect(brokenRules([], both, [fault('redis-stall', 30_200, 30_900)])).toEqual([]);
    expect(brokenRules([], both, [fault('vendor', 30_200, 30_900)])).toEqual([ONE_LOGIN]);
  });

  it('have a reason', () => {
    const former = login('a', 30_000);
    expect(brokenRules([], [former, login('b', 31_000)])).toEqual([REASON]);
    expect(brokenRules([], [former, login('b', 31_000)], [fault('vendor', 30_200, 30_900)])).toEqual([REASON]);
    expect(brokenRules([], [former, login('b', 72_000)])).toEqual([]);
    const report = exchange('report', 30_990, { reported: 'a', token: 'b', endedAt: 31_060 });
    expect(brokenRules([report], [former, login('b', 31_000)])).toEqual([]);
    expect(brokenRules([exchange('logout', 30_900)], [former, login('b', 31_000)])).toEqual([]);
    expect(brokenRules([], [former, login('b', 31_000)], [fault('redis-stall', 30_020, 30_900)])).toEqual([]);
    expect(brokenRules([], [{ ...former, isDelivered: false }, login('b', 31_000)])).toEqual([]);
  });

  it('are no storm, but each logout may cause one', () => {
    const many = Array.from({ length: 8 }, (_, number) => login(`t${number}`, 1_000 + 1_000 * number));
    expect(brokenRules([], many)).toEqual([REASON, STORM]);
    const logouts = many.map(({ answeredAt }) => exchange('logout', answeredAt + 100));
    expect(brokenRules(logouts, many)).toEqual([]);
  });
});

describe('a read', () => {
  it('does not fail while all is quiet', () => {
    expect(brokenRules([failed(30_000, 503, 'store_unavailable')], [])).toEqual([QUIET]);
    expect(brokenRules([failed(30_000, 503, 'store_unavailable')], [], [fault('kill', 9_000, 11_000)])).toEqual([]);
  });

  it('may get vendor_busy while the login budget is used up', () => {
    const busy = failed(30_000, 503, 'vendor_busy');
    const guests = (count: number, everyMs: number) =>
      Array.from({ length: count }, (_, number) =>
        login(`t${number}`, 30_000 + everyMs * number, 30_600, { account: `guest-${number}` }),
      );
    expect(brokenRules([busy], guests(20, 20))).toEqual([]);
    expect(brokenRules([busy], guests(9, 20))).toEqual([QUIET]);
    expect(brokenRules([busy], guests(20, 40))).toEqual([QUIET]);
    expect(brokenRules([failed(30_000, 503, 'vendor_unavailable')], guests(20, 20))).toEqual([QUIET]);
  });

  it('may fail with the logout that ends its login', () => {
    const forbidden = failed(4_900, 403, 'session_forbidden', { endedAt: 5_003 });
    expect(brokenRules([exchange('logout', 5_000), forbidden], [])).toEqual([]);
    expect(brokenRules([forbidden], [])).toEqual([QUIET]);
  });

  it('does not fail with a logout from before it, which its replica has heard of', () => {
    const logout = exchange('logout', 5_000);
    const later = (sentAt: number) => failed(sentAt, 403, 'session_forbidden', { endedAt: sentAt + 300 });
    expect(brokenRules([logout, later(5_900)], [login('a', 4_900, 6_100)])).toEqual([]);
    expect(brokenRules([logout, later(7_500)], [login('a', 4_900, 7_800)])).toEqual([QUIET]);
    const stall = [fault('redis-stall', 7_000, 7_600)];
    expect(brokenRules([logout, later(7_500)], [login('a', 4_900, 7_800)], stall)).toEqual([]);
    expect(brokenRules([logout, later(12_500)], [login('a', 4_900, 12_800)], stall)).toEqual([QUIET]);
  });

  it('ends, unless its replica dies', () => {
    const lost = exchange('read', 30_000, { status: 0 });
    const kill = fault('kill', 29_000, 31_000, { replica: 0 });
    expect(brokenRules([lost], [], [kill])).toEqual([]);
    expect(brokenRules([lost], [], [{ ...kill, replica: 1 }])).toEqual([ENDS]);
    expect(
      brokenRules([failed(1_000, 504, 'vendor_timeout', { endedAt: 27_000 })], [], [fault('vendor', 0, 9_000)]),
    ).toEqual([ENDS]);
  });

  it('has a code of the contract', () => {
    const failing = [fault('vendor', 900, 9_000)];
    expect(brokenRules([failed(1_000, 503, 'vendor_unavailable')], [], failing)).toEqual([]);
    expect(brokenRules([failed(1_000, 500, 'internal')], [], failing)).toEqual([CODES]);
    expect(brokenRules([failed(1_000, 502, '')], [], failing)).toEqual([CODES]);
  });

  it('gets a token of its own terminal', () => {
    expect(brokenRules([read(1_000, 'a')], [login('a', 900, 950, { uniqueId: 'phone-2' })])).toEqual([OWNER]);
    expect(brokenRules([read(1_000, 'a')], [])).toEqual([OWNER]);
  });

  it('gets another token than the one that it reports', () => {
    const report = exchange('report', 2_000, { reported: 'a', token: 'a' });
    expect(brokenRules([report], [login('a', 900)])).toEqual([REPORTER]);
    expect(brokenRules([{ ...report, token: 'b' }], [login('a', 900), login('b', 2_000)])).toEqual([]);
  });

  it('gets a token that lives, at the end of the run', () => {
    const broken = [fault('vendor', 1_000, 39_000)];
    expect(brokenRules([read(40_000, 'a', { isFinal: true })], [login('a', 30_000)])).toEqual([]);
    expect(brokenRules([failed(40_000, 503, 'vendor_busy', { isFinal: true })], [], broken)).toEqual([FINALLY]);
    const ended = [login('a', 1_000), login('b', 38_000)];
    expect(brokenRules([read(40_000, 'a', { isFinal: true })], ended)).toEqual([FINALLY]);
  });
});

it('a report shows the rule, and the events around the first finding', () => {
  const logins = [login('a', 900)];
  const exchanges = [exchange('logout', 5_000), read(12_000, 'a'), read(12_500, 'a')];
  const history: History = {
    topology: 'single',
    exchanges,
    logins,
    faults: [fault('kill', 3_000, 4_000, { replica: 2 })],
  };
  const [text = ''] = reportFindings(history, judge(history));
  expect(text).toContain(`BROKEN: ${REMOVED} (2 times, 1 terminals)`);
  expect(text).toContain('12.005 s anna phone-1: logout 6995 ms before the read');
  expect(text).toContain('FAULT kill of replica 2');
  expect(text).toContain('5.000 s – 5.005 s logout at replica 0');
  expect(text).toContain('LOGIN phone-1 → token a');
});
