import axe from 'axe-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusReport } from '../../src/http/routes/status.ts';
import { FINDING_CODES, FINDINGS, type FindingCode, runbookOf } from '../../src/token/findings.ts';
import { startChromium } from '../support/browser.ts';
import { ADMIN_TOKEN, recordingAccounts, STATUS, startInternalApp } from '../unit/http/running-internal-app.ts';
import { openConsole } from './console-page.ts';

const SINCE = '2026-11-26T07:48:00.000Z';
const PHONE = { viewport: { width: 390, height: 844 }, timezoneId: 'UTC' };
const series = (count: number) => Array.from({ length: 61 }, () => count);

/** As after a quiet hour. */
const FINE: StatusReport = {
  ...STATUS,
  vendorDomains: STATUS.vendorDomains.map((domain) => ({
    ...domain,
    state: 'works',
    circuit: 'closed',
    clockOffsetSeconds: 0,
    lastSuccessAt: '2026-11-26T07:59:57.000Z',
    failingSince: null,
  })),
  store: { ...STATUS.store, state: 'works', reachable: true },
  replicas: [replica('broker-1'), replica('broker-2'), replica('broker-3')],
  firstEndAt: '2026-11-26T13:20:00.000Z',
  schedule: {
    due: { now: 0, in1h: 4, in24h: 90, in7d: 600, in30d: 900 },
    next24Hours: Array.from({ length: 24 }, () => 4),
    next30Days: Array.from({ length: 30 }, () => 30),
    total: 900,
    oldestOverdueSeconds: 0,
  },
  recentFailures: {
    requests: { last5Minutes: {}, last60Minutes: {} },
    backgroundRenewals: { last5Minutes: {}, last60Minutes: {} },
  },
};

function replica(name: string): StatusReport['replicas'][number] {
  return {
    replica: name,
    version: '1.2.3',
    startedAt: '2026-11-25T08:00:00.000Z',
    findings: [],
    clockOffsetSeconds: 0.004,
    configuration: '5f1d7c0a93be',
    missingSince: null,
  };
}

function finding(code: FindingCode): StatusReport['findings'][number] {
  const facts = { count: 43, share: 0.488, reason: 'timeout', seconds: 400, replicas: ['broker-2'] };
  return { code, level: FINDINGS[code], message: '', since: SINCE, runbook: runbookOf(code), ...facts };
}

/** Every finding at once, on a fleet that is not one. */
const WORST: StatusReport = {
  ...FINE,
  findings: FINDING_CODES.map(finding),
  replicas: [
    { ...replica('broker-1'), findings: ['redis_refuses_writes', 'vendor_fails_logins'] },
    { ...replica('sdk-token-broker-6d5f9c7b8-x2x4q'), configuration: '00c0ffee0000', clockOffsetSeconds: -41.2 },
    { ...replica('broker-3'), version: '1.2.2', clockOffsetSeconds: null, findings: null },
    { ...replica('broker-4'), missingSince: '2026-11-26T07:51:00.000Z' },
  ],
  tokensEnded: 17,
  lastHour: {
    ...FINE.lastHour,
    renewals: { login: series(7), vendor_busy: series(2), vendor_timeout: series(1) },
    logins: { success: series(7), busy: series(2), timeout: series(1) },
  },
};

let browser: Browser;

beforeAll(async () => {
  browser = await startChromium();
}, 300_000);
afterAll(() => browser?.close());

/** The built page, served with this report. */
async function show(report: StatusReport, options: object = PHONE, settings = {}) {
  const { origin } = await startInternalApp({ status: async () => report, logLevel: 'warn', ...settings });
  const opened = await openConsole(browser, `${origin}/console`, options);
  await opened.signIn(ADMIN_TOKEN);
  return opened;
}

describe('the verdict', () => {
  test('is what the broker finds: each finding with one action, its start and its runbook, on a phone, for everybody', async () => {
    const opened = await show(WORST);
    const { page } = opened;
    await opened.verdict(
      /^Apps get errors: 49% of the reads fail\. Redis does not answer \(timeout\)\. Known tokens come from memory\.$/,
    );
    const details = page.locator('#verdict-details');
    const text = (await details.textContent()) ?? '';
    for (const words of [
      'The vendor fails 49% of the logins (43 lately), most with timeout.',
      'The vendor closed 43 accounts in the last 6 minutes, in 49% of the logins.',
      '43 tokens in use ended without a renewal in the last hour.',
      'Look for the cause in the other findings, and in the last failures under “Dependencies”.',
      'Redis came back with older data',
    ]) {
      expect(text).toContain(words);
    }
    expect(text.match(/Next step: /g)).toHaveLength(FINDING_CODES.length);
    expect(text.match(/Since 07:48 \(12 min ago\)\./g)).toHaveLength(FINDING_CODES.length);
    const links = (language: string) =>
      FINDING_CODES.map((code) => `console/runbooks/${language}#${runbookOf(code).split('#')[1]}`);
    const hrefs = () =>
      page.evaluate(
        '[...document.querySelectorAll("#verdict-details a")].map((a) => ' +
          'a.getAttribute("href").replace("?broker=" + document.documentElement.dataset.broker, ""))',
      );
    expect(await hrefs()).toEqual(links('en'));
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    expect(await opened.expectAccessible('every finding')).toBe(4);
    await page.getByRole('button', { name: '中文' }).click();
    await opened.verdict(/^App 正在收到错误：有 49% 的读取失败。Redis 无响应（timeout）。已知的令牌由内存提供。$/);
    expect(await details.textContent()).toContain('最近 6 分钟厂商关闭了 43 个账号，占登录的 49%。');
    expect(await hrefs()).toEqual(links('zh'));
    const link = details.getByRole('link', { name: 'vendor_fails_logins' });
    await link.focus();
    const answered = page.waitForResponse(/\/console\/calls/);
    await opened.askNow();
    await (await answered).finished();
    await expect.poll(() => page.locator('#age').textContent()).toMatch(/^0 秒前更新$/);
    expect(await page.evaluate('document.activeElement.textContent')).toBe('运维手册：vendor_fails_logins');
    const opening = page.context().waitForEvent('page');
    await page.keyboard.press('Enter');
    const runbook = await opening;
    await runbook.waitForLoadState();
    expect(await runbook.locator(':target').textContent()).toBe('vendor_fails_logins');
    expect(await runbook.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    await runbook.evaluate(axe.source);
    expect(await runbook.evaluate('axe.run().then(({ violations }) => violations.map(({ id }) => id))')).toEqual([]);
    expect(await opened.problems()).toEqual([]);
  });

  test('shows first when the first token in use ends while no login succeeds', async () => {
    const opened = await show({ ...FINE, findings: [finding('vendor_down')] });
    await opened.verdict(/^No login succeeds at the vendor: timeout\. Known tokens are served\.$/);
    const details = opened.page.locator('#verdict-details');
    expect(await details.locator(':scope > :first-child').textContent()).toBe(
      'The first token in use ends in 5 h (13:20).',
    );
  });

  test('is not that all is fine while Redis or the vendor does not work, and there is no finding yet', async () => {
    const [domain] = FINE.vendorDomains;
    const circuit = { ...FINE, vendorDomains: domain ? [{ ...domain, circuit: 'open' as const }] : [] };
    await (await show(circuit)).verdict(/circuit open\. If this lasts, a finding says what to do\.$/);
    const opened = await show({ ...FINE, store: { ...FINE.store, reachable: false } });
    await opened.verdict(/^Redis: unreachable\./);
    expect(await opened.page.locator('#verdict').getAttribute('data-level')).toBe('warn');
  });

  test('promises nothing about known tokens while there are none', async () => {
    const schedule = { ...FINE.schedule, total: 0 } as StatusReport['schedule'];
    const opened = await show({ ...FINE, findings: [finding('vendor_down')], firstEndAt: null, schedule });
    await opened.verdict(/^No login succeeds at the vendor: timeout\.$/);
    expect(await opened.page.locator('.first-end').count()).toBe(0);
  });

  test.each<[string, readonly FindingCode[], RegExp]>([
    ['no longer says that known tokens are served', ['vendor_down'], /^No login succeeds at the vendor: timeout\.$/],
    [
      'says first that apps get errors',
      ['vendor_down', 'reads_fail'],
      /^Apps get errors: 49% of the reads fail\. No login succeeds at the vendor: timeout\.$/,
    ],
  ])('%s while tokens end in an outage', async (_, codes, expected) => {
    const opened = await show({ ...FINE, findings: codes.map(finding), firstEndAt: '2026-11-26T07:59:26.000Z' });
    await opened.verdict(expected);
    expect(await opened.page.locator('#verdict-details > :first-child').textContent()).toBe(
      'Tokens in use are ending now.',
    );
  });

  test('is no failure while only the broker holds its own renewals back', async () => {
    const vendor_busy = { vendor_busy: 43 };
    const opened = await show({
      ...FINE,
      recentFailures: {
        ...FINE.recentFailures,
        backgroundRenewals: { last5Minutes: vendor_busy, last60Minutes: vendor_busy },
      },
      lastHour: { ...FINE.lastHour, renewals: { vendor_busy: series(1) }, logins: { busy: series(1) } },
    });
    await opened.verdict(/^All tokens are fine\.$/);
    const { page } = opened;
    const failures = await page.locator('#failures').textContent();
    expect(failures).toMatch(/No failure in the last hour\..*held 43 background renewals back.*no failure/);
    expect(failures).not.toContain('Who acts');
    expect(await page.locator('#charts rect.bad').count()).toBe(0);
    expect(await page.locator('#charts rect.aged').count()).toBe(2 * 61);
    expect(await page.locator('#dependencies .pill.bad, #dependencies .pill.warn').count()).toBe(0);
  });
});

test('a selected text stays selected over three refreshes', async () => {
  let polls = 0;
  const report = () => {
    polls += 1;
    const at = new Date(Date.parse(FINE.at) + polls * 5_000).toISOString();
    return { ...WORST, at, loginBudget: { perSecond: 10, used: polls / 100, waiting: polls } };
  };
  const { page, askNow } = await show(WORST, {}, { status: async () => report() });
  const select = (from: string, to: string) =>
    page.evaluate<string>(`(() => {
      const [from, to] = [${JSON.stringify(from)}, ${JSON.stringify(to)}].map((query) => document.querySelector(query));
      getSelection().setBaseAndExtent(from.firstChild, 1, to.firstChild, to.firstChild.length);
      return getSelection().toString();
    })()`);
  const selections = [
    ['#verdict-text', '#verdict-text'],
    ['#verdict-details b', '.also p:last-child a'],
    ['#dependencies .detail', '#failures p, #failures caption'],
    ['#fleet code', '#charts .legend li:last-child b'],
  ] as const;
  for (const [from, to] of selections) {
    const selected = await select(from, to);
    expect(selected, from).not.toBe('');
    const shown = polls;
    for (let refreshes = 1; refreshes <= 3; refreshes += 1) {
      await askNow();
      await expect.poll(() => page.locator('#load').textContent()).toContain(`${shown + refreshes} logins wait`);
    }
    expect((await page.evaluate<string>('getSelection().toString()')).slice(0, 9), from).toBe(selected.slice(0, 9));
    expect(
      await page.evaluate(`getSelection().focusNode.parentElement === document.querySelector(${JSON.stringify(to)})`),
    ).toBe(true);
  }
});

test('the fleet shows a missing replica, another version, another configuration and the clocks', async () => {
  const { page } = await show(WORST);
  const rows = await page.locator('#fleet tbody tr').allTextContents();
  expect(rows).toHaveLength(4);
  expect(rows[0]).toMatch(/^broker-11\.2\.3redis_refuses_writes vendor_fails_logins 0 s5f1d7c0a93be24 h ago$/);
  expect(rows[1]).toMatch(/x2x4q1\.2\.3none-41\.2 s00c0ffee0000 differs/);
  expect(rows[2]).toMatch(/broker-31\.2\.2 differsnot knownnot known/);
  expect(rows[3]).toMatch(/broker-4.*missing for 9 min/);
});

test('the numbers say that they are cumulative, and each chart its unit and its scale', async () => {
  const { page } = await show(WORST);
  const numbers = page.locator('#due .numbers dt');
  expect(await numbers.allTextContents()).toEqual(
    expect.arrayContaining(['within 1 h', 'within 24 h', 'ended unrenewed, last hour', 'first token ends']),
  );
  await page.getByText('Each count includes the ones before it.').waitFor();
  const captions = await page.locator('figcaption').allTextContents();
  expect(captions.length).toBeGreaterThanOrEqual(6);
  for (const caption of captions) expect(caption).toMatch(/per (minute|hour|day)/);
  const scales = await page.locator('.scale').allTextContents();
  expect(scales).toHaveLength(captions.length);
  for (const scale of scales) expect(scale).toMatch(/^(nothing|[\d,.]+)0$/);
});

describe('an account', () => {
  const LONG = `${'a'.repeat(64)}${'9'.repeat(64)}`;
  const BACKWARDS = '\u202eevil\u202d';
  const accounts = () => {
    const stored = (accessId: string) => ({ identity: { accessId, region: 'CN' }, records: [] });
    const known = ['__proto__', LONG, BACKWARDS].map((id, at) => [id, stored(`access-${at}`)] as const);
    return { accounts: recordingAccounts(new Map(known)).accounts };
  };

  test('named __proto__ is an account, and an unknown accessId of that name is none', async () => {
    const { page, ask } = await show(FINE, {}, accounts());
    await ask('__proto__');
    await page.getByText('Account found').waitFor();
    expect(await page.locator('#lookup-result bdi').first().textContent()).toBe('__proto__');
    await page.getByLabel('accessId').check();
    await ask('__proto__');
    await page.getByText('does not know this account').waitFor();
    await ask('access-0');
    await page.getByText('Account found').waitFor();
  });

  test('with an id of 128 characters shows all of it where it must be typed again, on a phone', async () => {
    const { page, ask } = await show(FINE, PHONE, accounts());
    await ask(LONG);
    await page.getByRole('button', { name: 'Erase the account' }).click();
    expect(await page.locator('#confirm-id').textContent()).toBe(LONG);
    const isInside = `(() => {
      const dialog = document.querySelector('dialog').getBoundingClientRect();
      const id = document.getElementById('confirm-id');
      return [...id.getClientRects()].every(({ left, right }) => left >= dialog.left && right <= dialog.right);
    })()`;
    expect(await page.evaluate(isInside)).toBe(true);
  });

  test('whose id turns the direction of text changes no text around it', async () => {
    const { page, ask } = await show(FINE, {}, accounts());
    await ask(BACKWARDS);
    await page.getByRole('button', { name: 'Erase the account' }).click();
    for (const id of ['#confirm-id', '#lookup-result .id']) {
      const bidi = `getComputedStyle(document.querySelector(${JSON.stringify(id)})).unicodeBidi`;
      expect(await page.evaluate(bidi)).toBe('isolate');
    }
  });
});
