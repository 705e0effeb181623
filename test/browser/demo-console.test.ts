import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startChromium } from '../support/browser.ts';
import { startCommand } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { plainRequest } from '../support/plain-request.ts';
import { openConsole } from './console-page.ts';

let browser: Browser;
let stopDemo: () => Promise<unknown>;
let url: string;

beforeAll(async () => {
  browser = await startChromium();
  const { log, stop } = startCommand(['demo']);
  stopDemo = stop;
  await eventually(() => expect(log().join('\n')).toMatch(/^curl /m));
  [url = ''] = /http:\S+\/console/.exec(log().join('\n')) ?? [];
}, 300_000);

afterAll(async () => {
  await browser?.close();
  await stopDemo?.();
});

test('the demo shows the flow live without a token, and its switches break the vendor and bring it back', async () => {
  const opened = await openConsole(browser, url);
  const { page } = opened;
  await opened.verdict(/All tokens are fine/);
  expect(await page.locator('#ask').isVisible()).toBe(false);
  const events = page.locator('#demo-events');
  await expect.poll(() => events.textContent(), { timeout: 8_000 }).toMatch(/App → broker: token \w{8}…\w{4}/);
  await expect.poll(() => events.textContent()).toContain('Broker → vendor');
  expect(await page.locator('#demo-life').textContent()).toMatch(/issued \d+ s ago, ends in \d+ s/);
  expect(await opened.expectAccessible('demo')).toBe(4);
  // The chart of the tokens that fall due has those of the number above it.
  await expect.poll(() => page.locator('#due .numbers').textContent()).toContain('within 1 h1');
  expect(await page.locator('#due .scale').allTextContents()).toEqual(['10', '10']);
  const account = (await page.locator('#demo-account').textContent())?.match(/[0-9a-f]{32}/)?.[0] ?? '';
  await opened.lookUp(account);
  const ends = page.locator('#lookup-result dt', { hasText: 'Ends' }).locator('xpath=following-sibling::dd');
  const shown = await ends.textContent();
  expect(shown).toMatch(/\((in )?\d+ s( ago)?\)$/);
  await expect.poll(() => ends.textContent()).not.toBe(shown);
  // New events come before it.
  await page.evaluate(`getSelection().selectAllChildren(document.querySelector('#demo-events li'))`);
  const selected = await page.evaluate<string>('getSelection().toString()');
  await expect.poll(() => events.locator('li').first().textContent()).not.toBe(selected);
  expect(await page.evaluate('getSelection().toString()')).toBe(selected);

  await page.getByLabel('refuses the app').check();
  // The broker logs in again when the token is due.
  await expect.poll(() => events.textContent(), { timeout: 30_000 }).toMatch(/login refused \(\d+\)/);
  expect(await opened.expectAccessible('demo with a broken vendor')).toBe(4);
  // After five refusals: one may be of one account.
  await opened.verdict(/The vendor.* refuses our app/, 100_000);
  const details = await page.locator('#verdict-details').textContent();
  expect(details).toContain('Choose “works”: the finding ends after some minutes.');
  expect(details).not.toContain('dist/main.js');
  await page.getByLabel('works', { exact: true }).check();
  await expect
    .poll(
      async () => {
        await page.locator('#demo-ask').click();
        return events.locator('li').first().textContent();
      },
      { timeout: 60_000, interval: 1_000 },
    )
    .toMatch(/App → broker: token/);
  expect(await opened.problems()).toEqual([]);
});

test('a switch of the vendor stays as it was set when answers from before arrive late', async () => {
  const { page, problems } = await openConsole(browser, url);
  await page.locator('#demo-events li').first().waitFor();
  const states: (() => Promise<void>)[] = [];
  const switches: typeof states = [];
  const hold = (path: string, held: typeof states) =>
    page.route(`**${path}`, async (route) => {
      const response = route.fetch();
      held.push(async () => route.fulfill({ response: await response }));
      await response;
    });
  await hold('/demo/state', states);
  await hold('/demo/vendor', switches);
  const chosen = page.getByLabel('does not answer');
  const expectChosenAfter = async (answer: (() => Promise<void>) | undefined) => {
    await Promise.all([page.waitForResponse('**/demo/*'), answer?.()]);
    await page.waitForTimeout(200);
    expect(await chosen.isChecked()).toBe(true);
  };
  await expect.poll(() => states.length).toBeGreaterThan(1);
  await chosen.check();
  await expectChosenAfter(states.shift());
  await expect.poll(() => switches.length).toBe(1);
  await expectChosenAfter(switches.shift());
  await expectChosenAfter(states.shift());
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  await page.getByLabel('works', { exact: true }).check();
  await expect.poll(() => page.locator('#demo-message').textContent()).toContain('works');
  expect(await problems()).toEqual([]);
});

test('the demo shows no older state after a newer one', async () => {
  const { page } = await openConsole(browser, url);
  const account = page.locator('#demo-account');
  await expect.poll(() => account.textContent()).not.toBe('');
  const held: ((unionId: string) => Promise<void>)[] = [];
  await page.route('**/demo/state', async (route) => {
    const response = route.fetch();
    held.push(async (unionId) => route.fulfill({ json: { ...(await (await response).json()), unionId } }));
    await response;
  });
  await expect.poll(() => held.length).toBeGreaterThan(1);
  const [older, newer] = held;
  await newer?.('newer');
  await expect.poll(() => account.textContent()).toContain('newer');
  await older?.('older');
  await page.waitForTimeout(300);
  expect(await account.textContent()).toContain('newer');
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

test('the last one of two switches decides, also if the first one takes longer, or the language changes before', async () => {
  const { page } = await openConsole(browser, url);
  await page.locator('#demo-events li').first().waitFor();
  const message = () => page.locator('#demo-message').textContent();
  const held: (() => Promise<void>)[] = [];
  await page.route('**/demo/vendor', (route) => void held.push(() => route.continue()));
  await page.getByLabel('answers HTTP 500').check();
  await expect.poll(() => held.length).toBe(1);
  for (const language of ['中文', 'English']) {
    await page.getByRole('button', { name: language }).click();
    expect(await page.locator('[value="http-500"]').isChecked()).toBe(true);
  }
  await page.getByLabel('does not answer').check();
  await page.waitForTimeout(300);
  for (let answered = 0; answered < 2; answered += 1) {
    await expect.poll(() => held.length).toBeGreaterThan(0);
    await held.pop()?.();
    await page.waitForTimeout(300);
  }
  await expect.poll(message).toBe('The vendor does not answer from now on.');
  await page.waitForResponse('**/demo/state');
  await page.waitForTimeout(200);
  expect(await page.getByLabel('does not answer').isChecked()).toBe(true);
  await page.unrouteAll();
  await page.getByLabel('works', { exact: true }).check();
  await expect.poll(message).toContain('works');
});

test('the demo answers only under its own name, and lets no other site change anything', async () => {
  const { origin, port } = new URL(url);
  const call = async (path: string, headers: Record<string, string>, method = 'POST') =>
    (await plainRequest(origin + path, { method, headers, ...(method === 'POST' && { body: '{"fault":"none"}' }) }))
      .status;
  expect(await call('/demo/state', { host: 'attacker.example' }, 'GET')).toBe(403);
  expect(await call('/status', { host: `attacker.example:${port}` }, 'GET')).toBe(403);
  expect(await call('/demo/vendor', { 'sec-fetch-site': 'cross-site' })).toBe(403);
  expect(await call('/demo/vendor', { 'sec-fetch-site': 'same-site' })).toBe(403);
  expect(await call('/demo/vendor', { origin: 'https://attacker.example' })).toBe(403);
  expect(await call('/accounts/x', { 'sec-fetch-site': 'cross-site' }, 'DELETE')).toBe(403);
  expect(await call('/demo/vendor', { 'sec-fetch-site': 'same-origin', origin })).toBe(200);
  expect(await call('/metrics', {}, 'GET')).toBe(404);
  const wrong = await plainRequest(`${origin}/demo/vendor`, { method: 'POST', body: '{"fault":"everything"}' });
  expect(wrong.status).toBe(400);
});
