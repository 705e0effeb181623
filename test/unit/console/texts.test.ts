import { describe, expect, it } from 'vitest';
import { Format } from '../../../console/format.ts';
import { EN, type Texts } from '../../../console/texts-en.ts';
import { ZH } from '../../../console/texts-zh.ts';
import { FINDING_CODES, type FindingCode } from '../../../src/token/findings.ts';
import { isChinese } from '../../support/chinese.ts';
import { readFile } from '../../support/documents.ts';

/**
 * All texts by path. A function gets its name's arguments as numbers or texts, which is enough to see what it writes.
 */
function textsOf(value: unknown, path = ''): [string, string][] {
  if (typeof value === 'string') return [[path, value]];
  if (typeof value === 'function') return path.startsWith('.findings') ? [] : [[path, String(value('1', '2', '3'))]];
  return Object.entries(value as object).flatMap(([key, inner]) => textsOf(inner, `${path}.${key}`));
}

describe('the Chinese texts', () => {
  it('have the same keys as the English ones', () => {
    expect(textsOf(ZH).map(([path]) => path)).toEqual(textsOf(EN).map(([path]) => path));
  });

  it('are Chinese, except names and codes', () => {
    expect(textsOf(ZH).filter(([, text]) => !isChinese(text))).toEqual([]);
  });

  it('use the terms of the vendor and of engineers', () => {
    const all = [
      ...textsOf(ZH).map(([, text]) => text),
      ...FACTS.flatMap((facts) => FINDING_CODES.map((code) => said(code, ZH, facts))),
    ].join('\n');
    for (const term of ['令牌', '会话', '熔断', '限流', '终端', '签名', '过期', '刷新']) expect(all).toContain(term);
  });
});

/** A finding with all facts that it may have. */
function said(code: FindingCode, texts: Texts, facts: object = ALL_FACTS): string {
  const finding = {
    code,
    level: 'critical',
    message: '',
    since: '2026-11-26T14:02:00.000Z',
    runbook: '',
    ...facts,
  } as const;
  const { text, next } = texts.findings[code](finding, new Format(texts === ZH ? 'zh' : 'en', 'UTC'));
  return `${text}\n${next}`;
}

const ALL_FACTS = {
  count: 43,
  share: 0.488,
  host: 'vendor.example',
  reason: 'timeout',
  seconds: 400,
  replicas: ['b-1'],
};
const FACTS = [
  ALL_FACTS,
  { ...ALL_FACTS, count: 1 },
  { reason: 'oom' },
  { reason: 'readonly' },
  { reason: 'clock_skew' },
  { reason: 'configuration', vendorCode: 10_007 },
  { reason: 'configuration', vendorCode: 10_012 },
  { reason: 'maintenance' },
  { reason: 'request', vendorCode: 10_003, share: 0.6 },
  { count: 43, share: 0.488 },
  {},
];

describe.each(FINDING_CODES)('the finding %s', (code) => {
  it('says what is wrong and one action, in both languages, with whatever facts are known', () => {
    for (const facts of FACTS) {
      for (const texts of [EN, ZH]) {
        const [text = '', next = ''] = said(code, texts, facts).split('\n');
        for (const one of [text, next]) expect(one).toMatch(texts === ZH ? /\p{Script=Han}.*。$/u : /^[A-Z0-9].*\.$/);
        if (texts === ZH) expect(isChinese(text) && isChinese(next), text + next).toBe(true);
        expect(text + next).not.toMatch(/undefined|NaN|null/);
      }
    }
  });
});

it.each([EN, ZH])('a finding of another replica shows no zero for what is not known (%#)', (texts) => {
  const empty = FINDING_CODES.map((code) => said(code, texts, {}).replace('14:02', ''));
  expect(empty.filter((text) => /(?<!\d)0(?!\d)/.test(text.replaceAll('VENDOR_MAX_RPS', '')))).toEqual([]);
  expect(said('redis_refuses_writes', texts, {})).not.toBe(said('redis_refuses_writes', texts, { reason: 'oom' }));
});

it.each([
  ['redis_refuses_writes', { reason: 'oom' }, 'Apps still get tokens', 'App 仍能得到令牌'],
  ['accounts_closed', { count: 43, share: 0.49 }, 'in 49% of the logins', '占登录的 49%'],
  ['accounts_closed', { count: 43 }, 'The vendor closed 43 accounts', '43 个账号'],
  ['session_check_fails', { share: 0.33 }, '33% of the checks fail', '有 33% 的校验失败'],
  ['session_check_fails', {}, 'a new one knows none', '新副本没有这样的会话'],
  ['vendor_rejects', { reason: 'request', vendorCode: 10_003 }, 'most with code 10003', '多数为结果码 10003'],
  ['replica_missing', {}, 'or cannot reach Redis', '也可能连不上 Redis'],
] as const)('%s with %j says so in both languages', (code, facts, english, chinese) => {
  expect(said(code, EN, facts)).toContain(english);
  expect(said(code, ZH, facts)).toContain(chinese);
});

it('one is not many', () => {
  expect(said('tokens_ended', EN, { count: 1 })).toMatch(/^1 token in use/);
  expect(said('replica_missing', EN, { count: 1, replicas: ['b'] })).toMatch(
    /^1 replica does not answer since 14:02: b\. It has ended without a shutdown, hangs, or cannot reach Redis\./,
  );
});

it('every text that console.html names exists in both languages', () => {
  const named = [...readFile('console/console.html').matchAll(/data-text="([^"]+)"/g)].map(([, path]) => `.${path}`);
  expect(named.length).toBeGreaterThan(20);
  for (const texts of [EN, ZH]) {
    const paths = new Set(textsOf(texts).map(([path]) => path));
    expect(named.filter((path) => !paths.has(path))).toEqual([]);
  }
});
