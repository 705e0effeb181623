import { describe, expect, it } from 'vitest';
import { Format, preferredLanguage } from '../../../console/format.ts';
import { isSendable, isSendableInPath } from '../../../console/sendable-input.ts';

const NOW = Date.parse('2026-11-26T14:10:00.000Z');
const EN = new Format('en', 'UTC');
const ZH = new Format('zh', 'Asia/Shanghai');

it.each([
  [['zh-CN', 'en'], 'zh'],
  [['zh-Hant-TW'], 'zh'],
  [['en-GB', 'zh'], 'en'],
  [['de', 'zh', 'en'], 'zh'],
  [['de'], 'en'],
  [[], 'en'],
] as const)('a browser that prefers %j gets the page in %s', (preferences, language) =>
  expect(preferredLanguage(preferences)).toBe(language),
);

describe('a time', () => {
  it('of today has hours and minutes', () => {
    expect(EN.since('2026-11-26T14:02:00.000Z', NOW)).toBe('14:02');
    expect(ZH.since('2026-11-26T14:02:00.000Z', NOW)).toBe('22:02');
  });

  it('of another day has its date, also of the same day of another month', () => {
    expect(EN.since('2026-11-25T14:02:00.000Z', NOW)).toContain('25 Nov 2026');
    expect(EN.since('2026-10-26T14:02:00.000Z', NOW)).toContain('26 Oct 2026');
  });

  it.each([
    [-3_000, '3 s ago', '3 秒前'],
    [-59_700, '60 s ago', '60 秒前'],
    [-12 * 60_000, '12 min ago', '12 分钟前'],
    [5 * 3_600_000, 'in 5 h', '5 小时后'],
    [9 * 86_400_000, 'in 9 d', '9 天后'],
  ])('%i ms from now is %j and %j', (ms, english, chinese) => {
    const iso = new Date(NOW + ms).toISOString();
    expect(EN.relative(iso, NOW)).toBe(english);
    expect(ZH.relative(iso, NOW)).toBe(chinese);
  });
});

it('numbers have separators, shares are percentages, sizes have units', () => {
  expect(EN.number(1_234_567)).toBe('1,234,567');
  expect([-0.04, -0, 0.04].map((value) => EN.number(value))).toEqual(['0', '0', '0']);
  expect([-0.06, -41.25].map((value) => EN.number(value))).toEqual(['-0.1', '-41.2']);
  expect(EN.percent(0.876)).toBe('88%');
  expect(EN.bytes(52_004_310)).toBe('52 MB');
  expect(EN.bytes(2_300)).toBe('2.3 kB');
});

it('a token with characters that no header can carry is not sent', () => {
  expect(isSendable('an-admin-token_0123')).toBe(true);
  for (const token of ['令牌', 'a b', 'a\nb', '']) expect(isSendable(token)).toBe(false);
});

it('an id that a browser would change in a path is not sent', () => {
  expect(isSendableInPath('user/1 ?#%2e')).toBe(true);
  for (const id of ['.', '..', '\ud800']) expect(isSendableInPath(id)).toBe(false);
});
