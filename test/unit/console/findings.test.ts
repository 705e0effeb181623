import { describe, expect, it } from 'vitest';
import { type FindingKind, findingsOf, RULES } from '../../../console/findings.ts';
import { Format } from '../../../console/format.ts';
import { EN } from '../../../console/texts-en.ts';
import { ZH } from '../../../console/texts-zh.ts';
import type { StatusReport } from '../../../src/http/status-report.ts';
import { readFile } from '../../support/documents.ts';
import { headingsOf } from '../../support/markdown.ts';

const NOW = Date.parse('2026-11-26T14:10:00.000Z');
const SINCE = '2026-11-26T14:02:00.000Z';
const FINE: StatusReport = {
  version: '1.2.3',
  replica: 'broker-1',
  at: '2026-11-26T14:10:00.000Z',
  startedAt: '2026-11-25T08:00:00.000Z',
  findings: [],
  replicas: [],
  tokensEnded: 0,
  firstEndAt: null,
  vendorDomains: [
    {
      host: 'vendor.example',
      circuit: 'closed',
      clockOffsetSeconds: 0,
      lastSuccessAt: '2026-11-26T14:09:00.000Z',
      lastFailure: null,
      failingSince: null,
    },
  ],
  loginBudget: { perSecond: 10, used: 0.2, waiting: 0 },
  store: {
    kind: 'redis',
    reachable: true,
    encryptionKeys: ['k1'],
    lastDataLoss: null,
    lastSuccessAt: SINCE,
    lastFailure: null,
    failingSince: null,
  },
  sessions: { mode: 'jwt', server: { lastSuccessAt: SINCE, lastFailure: null, failingSince: null } },
  schedule: {
    due: { now: 0, in1h: 0, in24h: 1, in7d: 4, in30d: 9 },
    next24Hours: [],
    next30Days: [],
    endNext24Hours: null,
    total: 9,
    oldestOverdueSeconds: 0,
  },
  memory: { tokens: 3, bytes: 7_000 },
  recentFailures: {
    requests: { last5Minutes: {}, last60Minutes: {} },
    backgroundRenewals: { last5Minutes: {}, last60Minutes: {} },
  },
  lastHour: { from: '2026-11-26T13:10:00.000Z', reads: {}, renewals: {}, logins: {}, sessions: {} },
};

/** A count in the current minute, after an hour without any. */
const recently = (count: number) => [...Array.from({ length: 60 }, () => 0), count];

function withDomain(changes: Partial<StatusReport['vendorDomains'][number]>): StatusReport {
  return { ...FINE, vendorDomains: FINE.vendorDomains.map((domain) => ({ ...domain, ...changes })) };
}

function failingWith(reason: string, vendorCode?: number): StatusReport {
  const failure = { at: SINCE, reason, ...(vendorCode !== undefined && { vendorCode }) };
  return withDomain({ lastFailure: failure, failingSince: SINCE });
}

function withDataLoss(history: 'lost' | 'went_back', at: string): StatusReport {
  return { ...FINE, store: { ...FINE.store, lastDataLoss: { at, history } } };
}

function withLastHour(changes: Partial<StatusReport['lastHour']>): StatusReport {
  return { ...FINE, lastHour: { ...FINE.lastHour, ...changes } };
}

/** Fetching the JWKS fails since `SINCE`. */
function withoutFetch(lastSuccessAt: string | null, mode = 'jwt'): StatusReport {
  const server = { lastSuccessAt, lastFailure: { at: SINCE, reason: 'HTTP 500' }, failingSince: SINCE };
  return { ...FINE, sessions: { mode, server } };
}

const CASES: readonly (readonly [FindingKind, StatusReport])[] = [
  ['storeDown', { ...FINE, store: { ...FINE.store, reachable: false, failingSince: SINCE }, schedule: null }],
  ['storeLostData', withDataLoss('lost', SINCE)],
  ['storeWentBack', withDataLoss('went_back', '2026-11-25T14:10:01.000Z')],
  ['signatureRefused', failingWith('configuration', 10_007)],
  ['appRefused', failingWith('configuration', 10_005)],
  ['clockRefused', failingWith('clock_skew', 10_007)],
  ['vendorDown', withDomain({ circuit: 'open', failingSince: SINCE })],
  ['vendorDown', withDomain({ circuit: 'half-open' })],
  ['vendorFails', failingWith('timeout')],
  ['vendorFails', failingWith('maintenance')],
  ['vendorBroken', failingWith('broken_answer')],
  // No keys are known, or known ones are too old.
  ['sessionServerFails', withoutFetch(null)],
  ['sessionServerFails', withoutFetch('2026-11-26T13:09:00.000Z')],
  ['sessionServerFails', withoutFetch('2026-11-26T14:09:00.000Z', 'introspection')],
  [
    'sessionServerFails',
    {
      ...withoutFetch('2026-11-26T14:01:00.000Z'),
      lastHour: { ...FINE.lastHour, sessions: { session_check_unavailable: recently(1), cached: recently(90) } },
    },
  ],
  [
    'keysNotFetched',
    {
      ...withoutFetch('2026-11-26T14:01:00.000Z'),
      lastHour: {
        ...FINE.lastHour,
        sessions: { session_check_unavailable: [9, ...recently(0).slice(1)], accepted: recently(9) },
      },
    },
  ],
  ['sessionsRefused', withLastHour({ sessions: { session_invalid: recently(21) } })],
  ['sessionsRefused', withLastHour({ sessions: { session_expired: recently(30), cached: recently(10) } })],
  ['readsFail', withLastHour({ reads: { memory: recently(90), vendor_unavailable: recently(10) } })],
  ['internalErrors', withLastHour({ reads: { memory: recently(9_000), internal: recently(1) } })],
  [
    'overdue',
    {
      ...FINE,
      schedule: FINE.schedule && {
        ...FINE.schedule,
        due: { ...FINE.schedule.due, now: 4 },
        oldestOverdueSeconds: 700,
      },
    },
  ],
  ['budgetSpent', { ...FINE, loginBudget: { perSecond: 10, used: 1, waiting: 40 } }],
  ['clockOff', withDomain({ clockOffsetSeconds: -95 })],
];

describe('the findings of a status', () => {
  it('are none while all is well', () => expect(findingsOf(FINE)).toEqual([]));

  it.each(CASES)('are %s alone, if only that is wrong', (kind, status) => {
    expect(findingsOf(status).map((finding) => finding.kind)).toEqual([kind]);
  });

  it('cover every kind', () => expect(new Set(CASES.map(([kind]) => kind))).toEqual(new Set(Object.keys(RULES))));

  it.each([
    ['the vendor has closed one account', failingWith('account_closed', 10_021)],
    ['the vendor refused what one account sent', failingWith('request', 10_016)],
    ['the vendor found the pace too fast', failingWith('too_frequent', 10_015)],
    ['the last failure is older than the last success', withDomain({ lastFailure: { at: SINCE, reason: 'timeout' } })],
    ['a few sessions are refused', withLastHour({ sessions: { session_invalid: recently(9) } })],
    [
      'the refused sessions are a minority',
      withLastHour({ sessions: { session_invalid: recently(40), cached: recently(60) } }),
    ],
    [
      'the sessions were refused an hour ago',
      withLastHour({ sessions: { session_invalid: [90, ...recently(0).slice(1)] } }),
    ],
    ['apps make mistakes', withLastHour({ reads: { terminal_limit: recently(50), memory: recently(50) } })],
    ['two reads of a thousand fail', withLastHour({ reads: { memory: recently(998), vendor_timeout: recently(2) } })],
    ['Redis lost its data a day ago', withDataLoss('lost', '2026-11-25T14:10:00.000Z')],
    ['the queue is short', { ...FINE, loginBudget: { perSecond: 10, used: 0.4, waiting: 2 } }],
    ['there is no login limit', { ...FINE, loginBudget: { perSecond: null, used: null, waiting: null } }],
    ['no session server is needed', { ...FINE, sessions: { mode: 'jwt', server: null } }],
  ] satisfies [string, StatusReport][])('are none if %s', (_, status) => expect(findingsOf(status)).toEqual([]));

  it('count the failed logins of the last 10 minutes beside a login that failed', () => {
    const status = {
      ...failingWith('timeout'),
      lastHour: { ...FINE.lastHour, logins: { timeout: recently(7), success: recently(2) } },
    };
    expect(findingsOf(status)).toMatchObject([{ kind: 'vendorFails', logins: { failed: 7, all: 9 } }]);
  });

  it('begin with the most urgent one', () => {
    const [, overdue] = CASES.find(([kind]) => kind === 'overdue') ?? [];
    const status = { ...overdue, ...failingWith('configuration', 10_007), schedule: overdue?.schedule ?? null };
    expect(findingsOf(status).map(({ kind }) => kind)).toEqual(['signatureRefused', 'overdue']);
  });
});

describe.each([
  ['en', EN],
  ['zh', ZH],
] as const)('the sentences of the findings in %s', (language, texts) => {
  it('say since when the vendor refuses the signature, and to run check', () => {
    const format = new Format(language, 'UTC');
    const { text, next } = texts.findings.signatureRefused(
      { kind: 'signatureRefused', host: 'vendor.example', since: SINCE },
      format,
      NOW,
    );
    expect(text).toContain('14:02');
    expect(text).toContain('vendor.example');
    expect(next).toContain('`node dist/main.js check`');
  });

  it.each(['lost', 'went_back'] as const)('say when Redis has %s, and to repeat the erasures', (history) => {
    const [finding] = findingsOf(withDataLoss(history, SINCE));
    if (finding?.kind !== 'storeLostData' && finding?.kind !== 'storeWentBack') throw new Error('no finding');
    const { text, next } = texts.findings[finding.kind](finding, new Format(language, 'UTC'), NOW);
    expect(text).toContain('14:02');
    expect(next).toMatch(/repeat.*erasures|重做.*清除/);
  });

  it('do not say that sessions cannot be checked while known keys are used', () => {
    const [finding] = findingsOf(withoutFetch('2026-11-26T14:01:00.000Z'));
    if (finding?.kind !== 'keysNotFetched') throw new Error('the finding is missing');
    const { text } = texts.findings.keysNotFetched(finding, new Format(language, 'UTC'), NOW);
    expect(text).toMatch(/14:02.*(used for up to an hour|最多使用一小时)/);
    expect(RULES.keysNotFetched.level).toBe('warn');
  });

  it('say how many logins failed, to run check, and what it means if check is ok', () => {
    const finding = {
      kind: 'vendorFails',
      host: 'vendor.example',
      since: SINCE,
      reason: 'outage',
      logins: { failed: 7, all: 9 },
    } as const;
    const { text, next } = texts.findings.vendorFails(finding, new Format(language, 'UTC'), NOW);
    expect(text).toMatch(/7 of 9 logins|9 次登录中有 7 次失败/);
    expect(next).toContain('`node dist/main.js check`');
    expect(next).toMatch(/only the vendor’s login service is down|只是厂商的登录服务有故障/);
    const none = texts.findings.vendorFails(
      { ...finding, logins: { failed: 0, all: 0 } },
      new Format(language, 'UTC'),
      NOW,
    );
    expect(none.text).not.toMatch(/\b0\b/);
  });

  it.each(CASES)('are complete for %s', (_, status) => {
    const format = new Format(language, 'UTC');
    for (const finding of findingsOf(status)) {
      const write = texts.findings[finding.kind] as (...args: unknown[]) => { text: string; next: string };
      const { text, next } = write(finding, format, NOW);
      expect(`${text} ${next}`).not.toMatch(/undefined|null|NaN|Invalid/);
      expect(text).toMatch(/[.。]$/);
      expect(next).toMatch(/[.。]$/);
    }
  });
});

it.each([EN, ZH])('each finding names a section of the runbooks, in the language of the page', ({ runbookAt }) => {
  const headings = ['SdkTokenBrokerReplicaDown', ...Object.values(RULES).map(({ runbook }) => runbook)];
  for (const heading of headings) {
    const [file = '', anchor] = runbookAt(heading).split('#');
    expect(headingsOf(readFile(file)).map((one) => one.anchor)).toContain(anchor);
  }
});
