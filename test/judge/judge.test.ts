import { describe, expect, it } from 'vitest';
import { REAL_BOUNDS } from '../history/bounds.ts';
import { reportFindings } from './finding-report.ts';
import { judge, type RuleName } from './judge.ts';
import type { Bounds, Exchange, Fault, Recording, StoreRecording, StoreWrite, VendorLogin } from './recording.ts';

const PHONE = { account: 'anna', uniqueId: 'phone-1' };
const REMOVED = 'no token from before a logout or an erasure is served after it';
const IN_FLIGHT = 'a login that is in flight at a logout or an erasure goes nowhere';
const OLD_SESSION = 'a session from before an erasure stays refused';
const ERASED = 'an erased account comes back only for a newer session';
const NEW_SESSION = 'no session is refused that nothing has ended, and no write has an effect after its error';
const KICKED_OUT = 'a session that a kick-out has ended gets no token';
const STAYS = 'an account that has logged in stays known until its erasure';
const LIVE = 'each served token is one that the vendor takes';
const ONE_LOGIN = 'one login per terminal at a time';
const REASON = 'each login has a reason';
const STORM = 'no storm of logins';
const QUIET = 'no request fails while all is quiet';
const ENDS = 'every request ends';
const CODES = 'only codes of the contract';
const OWNER = 'a token belongs to the terminal that asked';
const REPORTER = 'a refused token is not returned to its reporter';
const MARGIN = 'no token is served past its margin';
const STORED_LATER = 'no token is served after a later one was stored';
const STORED_LIVE = 'each stored token is one that the vendor takes';
const STORED_ISSUED = 'only tokens that the vendor issued are stored';
const STORED_OLDER = 'no write brings an older token back';
const STORED_REMOVED = 'no token from before a logout or an erasure is in the store after it';
const ACCESS_ID = 'no accessId from before an erasure is stored after it';
const FOUND = 'an accessId that was handed out can be looked up';
const BUDGET = 'the vendor gets no more logins than the budget';
const RENEWED = 'a token in use is renewed before it ends';
const KNOWN = 'no read fails while its replica knows a valid token';
const DUE = 'each token has a due time, and each due time a token';
const LEFT = 'a replica that was stopped ends, and leaves no timer, no waiter and no lease';
const FINALLY = 'in the end every replica serves every terminal';

/** A login from `receivedAt` to `answeredAt`. Its token lives for a minute. */
function login(token: string, receivedAt: number, answeredAt = receivedAt + 50, more: Partial<VendorLogin> = {}) {
  return { ...PHONE, receivedAt, answeredAt, token, expiresAt: answeredAt + 60_000, deliveredAt: answeredAt, ...more };
}

/** A request that is answered after 5 ms. Reads are answered with `token`. */
function exchange(kind: Exchange['kind'], sentAt: number, more: Partial<Exchange> = {}): Exchange {
  const status = ['logout', 'accountLogout', 'erasure'].includes(kind) ? 204 : 200;
  const isOfAccount = ['accountLogout', 'erasure', 'account'].includes(kind);
  const uniqueId = isOfAccount ? {} : { uniqueId: PHONE.uniqueId };
  const session = isOfAccount ? {} : { sessionIssuedAt: 0 };
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

/** What this test does not name is as in a run of real processes that sees nothing of the store. */
function recorded(facts: Partial<Recording>, bounds: Partial<Bounds> = {}): Recording {
  return { bounds: { ...REAL_BOUNDS, ...bounds }, replicas: 3, exchanges: [], logins: [], faults: [], ...facts };
}

function rulesIn(recording: Recording): RuleName[] {
  return [...new Set(judge(recording).map(({ rule }) => rule))];
}

function brokenRules(
  exchanges: readonly Exchange[],
  logins: readonly VendorLogin[],
  faults: readonly Fault[] = [],
  bounds: Partial<Bounds> = {},
): RuleName[] {
  return rulesIn(recorded({ exchanges, logins, faults }, bounds));
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

describe('after a kick-out', () => {
  const logins = [login('a', 900), login('b', 5_200)];
  const all = exchange('accountLogout', 5_000, { endedSessions: ['one'] });
  const before = read(1_000, 'a', { session: 'one' });
  const ahead = { session: 'one', sessionIssuedAt: 6_000 };

  it('a session from before it gets no token a second later, also if it says a later time', () => {
    expect(brokenRules([before, all, read(6_000, 'b')], logins)).toEqual([]);
    expect(brokenRules([before, all, read(6_100, 'b')], logins)).toEqual([KICKED_OUT]);
    expect(brokenRules([before, all, read(6_100, 'b', ahead)], logins)).toEqual([KICKED_OUT]);
    expect(brokenRules([before, all, read(6_100, 'b', { ...ahead, session: 'two' })], logins)).toEqual([]);
    expect(brokenRules([before, all, failed(6_100, 401, 'session_invalid', ahead)], logins)).toEqual([]);
    expect(
      brokenRules([before, all, failed(6_100, 401, 'session_invalid', { ...ahead, session: 'two' })], logins),
    ).toEqual([NEW_SESSION, QUIET]);
  });

  it('of one phone, the session that the customer cloud has ended gets no token', () => {
    const one = exchange('logout', 5_000, { endedSessions: ['one'] });
    expect(brokenRules([before, one, read(6_100, 'b', { session: 'two' })], logins)).toEqual([]);
    expect(brokenRules([before, one, read(6_100, 'b', { session: 'one' })], logins)).toEqual([KICKED_OUT]);
  });

  it('a token from before it is not served, and a login in flight goes nowhere', () => {
    const [later, inFlight] = [{ sessionIssuedAt: 7_000 }, login('b', 4_990, 5_900)];
    expect(brokenRules([before, all, read(11_100, 'a', later)], logins)).toEqual([REMOVED]);
    expect(brokenRules([all, read(7_100, 'b', later)], [inFlight])).toEqual([IN_FLIGHT]);
  });

  it('a fault that is over excuses nothing', () => {
    const stall = [fault('redis-stall', 1_500, 2_500)];
    expect(brokenRules([before, all, read(6_100, 'b')], logins, stall)).toEqual([KICKED_OUT]);
  });

  it('a replica that is cut off has its bound from the end of that', () => {
    const cut = [fault('link', 4_000, 15_000, { replica: 0 })];
    expect(brokenRules([before, all, read(20_900, 'b', ahead)], logins, cut)).toEqual([]);
    expect(brokenRules([before, all, read(21_100, 'b', ahead)], logins, cut)).toEqual([KICKED_OUT]);
  });

  it('the account stays, unless it is erased', () => {
    const gone = exchange('account', 9_000, { status: 404, code: 'not_found' });
    expect(brokenRules([before, all, exchange('account', 9_000)], logins)).toEqual([]);
    expect(brokenRules([before, all, gone], logins)).toEqual([STAYS]);
    expect(brokenRules([before, all, exchange('erasure', 7_000), gone], logins)).toEqual([]);
    expect(brokenRules([before, all, gone], logins, [fault('redis-empty', 8_000, 8_500)])).toEqual([]);
  });
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
    expect(brokenRules([logout, read(30_000, 'a')], logins, near)).toEqual([]);
    const earlier = [fault('failover-planned', 1_500, 2_600)];
    expect(brokenRules([logout, read(30_000, 'a')], logins, earlier)).toEqual([REMOVED]);
  });

  it('an old Redis may bring the token back until the replicas have healed it', () => {
    const old = [fault('redis-old', 8_000, 9_000, { dataOf: 4_000 })];
    expect(brokenRules([logout, read(18_900, 'a')], logins, old)).toEqual([]);
    expect(brokenRules([logout, read(19_100, 'a')], logins, old)).toEqual([REMOVED]);
    const newerData = [fault('redis-old', 8_000, 9_000, { dataOf: 6_000 })];
    expect(brokenRules([logout, read(18_900, 'a')], logins, newerData)).toEqual([REMOVED]);
  });

  it('an old Redis may lose it again while the replicas repeat it', () => {
    const old = fault('redis-old', 8_000, 9_000, { dataOf: 4_000 });
    const again = (dataOf: number) => fault('redis-old', 30_000, 30_500, { dataOf });
    expect(brokenRules([logout, read(35_000, 'a')], logins, [old, again(18_000)])).toEqual([]);
    expect(brokenRules([logout, read(35_000, 'a')], logins, [old, again(20_000)])).toEqual([REMOVED]);
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
    expect(
      brokenRules([lostWrites, read(58_000, 'a', { replica: 1 })], logins, broke, {
        losesAnnouncements: 'after a lost master',
      }),
    ).toEqual([]);
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
      brokenRules(
        [report, read(30_000, 'a')],
        [login('a', 1_000), login('b', 5_000, 5_050, { deliveredAt: Number.POSITIVE_INFINITY })],
      ),
    ).toEqual([]);
    expect(brokenRules([report, read(30_000, 'a')], logins, [fault('kill', 5_040, 7_000, { replica: 2 })])).toEqual([]);
  });

  it('is not served after it has expired, unless the clocks differ', () => {
    expect(brokenRules([read(61_100, 'a')], [login('a', 1_000)])).toEqual([MARGIN]);
    expect(brokenRules([read(59_300, 'a')], [login('a', 1_000)])).toEqual([]);
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
    expect(brokenRules([], [{ ...former, deliveredAt: Number.POSITIVE_INFINITY }, login('b', 31_000)])).toEqual([]);
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
        login(`t${number}`, 30_000 + everyMs * number, 30_600 + everyMs * number, { account: `guest-${number}` }),
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
    const ended = [login('a', 1_000), login('b', 44_000)];
    expect(brokenRules([read(46_000, 'a', { isFinal: true })], ended)).toEqual([FINALLY]);
  });
});

describe('a token in use', () => {
  it('is served while its replica knows it, until its margin', () => {
    const served = read(1_000, 'a');
    const broken = [fault('redis-stall', 29_000, 31_000)];
    const refused = failed(30_000, 503, 'store_unavailable');
    expect(brokenRules([served, refused], [login('a', 900)], broken)).toEqual([KNOWN]);
    expect(brokenRules([served, { ...refused, replica: 1 }], [login('a', 900)], broken)).toEqual([]);
    const kill = fault('kill', 20_000, 21_000, { replica: 0 });
    expect(brokenRules([served, refused], [login('a', 900)], [...broken, kill])).toEqual([]);
    expect(brokenRules([served, exchange('logout', 9_000), refused], [login('a', 900)], broken)).toEqual([]);
    const late = [fault('redis-stall', 57_000, 59_000)];
    expect(brokenRules([served, failed(58_000, 503, 'store_unavailable')], [login('a', 900)], late)).toEqual([]);
  });

  it('is renewed before it ends', () => {
    const reads = [read(1_000, 'a'), exchange('account', 70_000)];
    expect(brokenRules(reads, [login('a', 900)])).toEqual([RENEWED]);
    expect(brokenRules(reads, [login('a', 900), login('b', 50_000)])).toEqual([]);
    expect(brokenRules(reads.slice(1), [login('a', 900)])).toEqual([]);
    expect(brokenRules([...reads, exchange('logout', 9_000)], [login('a', 900)])).toEqual([]);
    expect(brokenRules(reads, [login('a', 900)], [fault('vendor', 30_000, 31_000)])).toEqual([]);
  });
});

it('the vendor gets no more logins than the budget', () => {
  const logins = (count: number) =>
    Array.from({ length: count }, (_, number) => {
      return login(`t${number}`, 30_000 + number, 31_000, { account: `guest-${number}` });
    });
  expect(brokenRules([], logins(57))).toEqual([]);
  expect(brokenRules([], logins(58))).toEqual([BUDGET]);
});

describe('an accessId', () => {
  const asked = exchange('accessId', 30_000, { isFound: false });

  it('that was handed out is found, unless the account was erased or the data were lost', () => {
    expect(brokenRules([{ ...asked, isFound: true }], [])).toEqual([]);
    expect(brokenRules([asked], [])).toEqual([FOUND]);
    expect(brokenRules([exchange('erasure', 29_000), asked], [])).toEqual([]);
    expect(brokenRules([asked], [], [fault('redis-empty', 30_000, 30_004)])).toEqual([]);
  });

  it('is obtained while all is quiet, and needs no login if the store has it', () => {
    const refused = exchange('accessId', 30_000, { status: 503, code: 'store_unavailable' });
    expect(brokenRules([refused], [])).toEqual([QUIET]);
    expect(brokenRules([refused], [], [fault('redis-stall', 29_000, 31_000)])).toEqual([]);
    expect(brokenRules([], [login('a', 30_000, 30_050, { hadAccessId: true })])).toEqual([REASON]);
    expect(brokenRules([], [login('a', 30_000, 30_050, { hadAccessId: false })])).toEqual([]);
  });
});

describe('a run that sees the store', () => {
  const at0 = { replica: 0 };
  const saved = (at: number, token: string, heardAt: [number, number][] = []): StoreWrite => ({
    ...PHONE,
    ...at0,
    at,
    kind: 'saved',
    token,
    heardAt: new Map(heardAt),
  });
  const executed = (kind: 'logout' | 'erasure', executedAt: number, more: Partial<Exchange> = {}) =>
    exchange(kind, executedAt - 1, { executedAt, heardAt: new Map([[0, executedAt + 1]]), ...more });
  const broken = (
    store: Partial<StoreRecording>,
    { exchanges = [], logins = [], faults = [] }: Partial<Recording> = {},
    bounds: Partial<Bounds> = {},
  ): RuleName[] => {
    const seen = { writes: [], looks: [], counts: [], remains: [], ...store };
    // A session that is newer than everything asks for the account.
    const asking = read(200, 'none', { status: 304, sessionIssuedAt: 99_000, replica: 2 });
    return rulesIn(recorded({ store: seen, exchanges: [...exchanges, asking], logins, faults }, bounds)).filter(
      (rule) => rule !== QUIET,
    );
  };
  const [a, b] = [login('a', 900, 950, at0), login('b', 46_000, 46_050, at0)];

  it('knows when a replica heard of a logout', () => {
    const exchanges = [executed('logout', 5_000), read(6_500, 'a')];
    expect(broken({}, { exchanges, logins: [a] })).toEqual([REMOVED]);
    expect(broken({}, { exchanges: [executed('logout', 5_000), read(5_300, 'a')], logins: [a] })).toEqual([]);
  });

  it('a request that has failed is not executed later', () => {
    const failure = { status: 503, code: 'store_unavailable', endedAt: 5_000 };
    const late = { ...executed('logout', 7_000), ...failure, sentAt: 4_800 };
    expect(broken({}, { exchanges: [late] })).toEqual([NEW_SESSION]);
    expect(broken({}, { exchanges: [{ ...late, executedAt: 5_900 }] })).toEqual([]);
  });

  it('has only tokens that the vendor issued for their terminals', () => {
    expect(broken({ writes: [saved(960, 'a')] }, { logins: [a] })).toEqual([]);
    expect(broken({ writes: [saved(960, 'x')] }, { logins: [a] })).toEqual([STORED_ISSUED]);
    expect(broken({ writes: [{ ...saved(960, 'a'), uniqueId: 'phone-2' }] }, { logins: [a] })).toEqual([STORED_ISSUED]);
  });

  it('no write brings an older token back, unless Redis has lost the newer one', () => {
    const writes = [saved(960, 'a'), saved(46_060, 'b'), saved(47_000, 'a')];
    expect(broken({ writes }, { logins: [a, b] })).toEqual([STORED_OLDER]);
    expect(broken({ writes: writes.slice(0, 2) }, { logins: [a, b] })).toEqual([]);
    expect(broken({ writes }, { logins: [a, b], faults: [fault('redis-empty', 46_500, 46_600)] })).toEqual([]);
  });

  it('has no token from before a logout or an erasure, unless Redis has lost it', () => {
    const exchanges = [executed('erasure', 5_000)];
    const old = fault('redis-old', 6_000, 6_500, { dataOf: 4_000 });
    const [writes, looks] = [[saved(6_900, 'a')], [{ ...PHONE, at: 7_000, token: 'a' }]];
    expect(broken({ writes }, { exchanges, logins: [a] })).toEqual([STORED_REMOVED]);
    expect(broken({ looks }, { exchanges, logins: [a] })).toEqual([STORED_REMOVED]);
    expect(broken({ looks }, { exchanges, logins: [a], faults: [old] })).toEqual([]);
    const later = [{ ...PHONE, at: 17_000, token: 'a' }];
    expect(broken({ looks: later }, { exchanges, logins: [a], faults: [old] })).toEqual([STORED_REMOVED]);
    expect(broken({ looks: later }, { exchanges, logins: [a], faults: [{ ...old, kind: 'redis-empty' }] })).toEqual([]);
  });

  it('has an erased account only for a session from after the erasure', () => {
    const erasure = executed('erasure', 5_000);
    const again = login('b', 5_100, 5_150, at0);
    const writes = [saved(5_200, 'b')];
    const facts = { exchanges: [erasure, read(5_050, 'b', { endedAt: 6_210 })], logins: [again] };
    expect(broken({ writes }, facts)).toEqual([OLD_SESSION]);
    const store = { writes, looks: [], counts: [], remains: [] };
    expect(rulesIn(recorded({ ...facts, store }))).toEqual([OLD_SESSION, ERASED]);
  });

  it('has no accessId of a login from before an erasure', () => {
    const writes = [{ ...saved(6_000, 'a'), kind: 'accessId' as const }];
    expect(broken({ writes }, { logins: [a] })).toEqual([]);
    expect(broken({ writes }, { exchanges: [executed('erasure', 5_000)], logins: [a] })).toEqual([ACCESS_ID]);
  });

  it('has the token that the vendor takes, once an app has got it', () => {
    const looks = [{ ...PHONE, at: 59_000, token: 'a' }];
    const exchanges = [read(1_000, 'a')];
    expect(broken({ looks, writes: [saved(46_060, 'b')] }, { exchanges, logins: [a, b] })).toEqual([STORED_LIVE]);
    expect(broken({ looks, writes: [saved(46_060, 'b')] }, { logins: [a, b] })).toEqual([]);
    const faults = [fault('redis-stall', 45_000, 46_000)];
    expect(broken({ looks, writes: [saved(46_060, 'b')] }, { exchanges, logins: [a, b], faults })).toEqual([]);
  });

  it('a replica that has heard of a later token serves it, also while something is broken', () => {
    const facts = { exchanges: [read(49_000, 'a', { replica: 1 })], logins: [a, b] };
    const heard = (at: number) => ({ writes: [saved(960, 'a'), saved(46_060, 'b', [[1, at]])] });
    expect(broken(heard(46_070), facts)).toEqual([STORED_LATER]);
    expect(broken(heard(47_500), facts)).toEqual([]);
    const faults = [fault('link', 48_900, 49_900, { replica: 1 })];
    expect(broken(heard(46_070), { ...facts, faults })).toEqual([STORED_LATER]);
  });

  it('a login has a reason if its replica cannot know of the token', () => {
    const logins = [a, login('b', 30_000, 30_050, { replica: 1 })];
    const writes = [saved(960, 'a')];
    expect(broken({ writes }, { logins })).toEqual([REASON]);
    expect(broken({ writes }, { logins, faults: [fault('link', 29_900, 30_900, { replica: 1 })] })).toEqual([]);
    expect(broken({}, { logins })).toEqual([]);
    const own = [a, { ...logins[1], ...at0 } as VendorLogin];
    const cut = { exchanges: [read(1_000, 'a')], logins: own, faults: [fault('link', 29_900, 30_900, at0)] };
    expect(broken({ writes }, cut)).toEqual([REASON]);
  });

  it('counts as many due times as tokens, and finds nothing of replicas that have stopped', () => {
    expect(broken({ counts: [{ at: 1, tokens: 2, dueTimes: 2 }] })).toEqual([]);
    expect(broken({ counts: [{ at: 1, tokens: 2, dueTimes: 1 }] })).toEqual([DUE]);
    expect(broken({ remains: [{ at: 1, what: 'a lease' }] })).toEqual([LEFT]);
  });
});

it('a report shows the rule, and the events around the first finding', () => {
  const logins = [login('a', 900)];
  const exchanges = [exchange('logout', 5_000), read(12_000, 'a'), read(12_500, 'a')];
  const faults = [fault('kill', 3_000, 4_000, { replica: 2 })];
  const history = recorded({ exchanges, logins, faults });
  const [text = ''] = reportFindings(history, judge(history));
  expect(text).toContain(`BROKEN: ${REMOVED} (2 times, 1 terminals)`);
  expect(text).toContain('12.005 s anna phone-1: logout 6995 ms before the read');
  expect(text).toContain('FAULT kill of replica 2');
  expect(text).toContain('5.000 s – 5.005 s logout at replica 0');
  expect(text).toContain('LOGIN phone-1 → token a');
});
