import type { Browser, Route } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startChromium } from '../support/browser.ts';
import { madeUpRecord } from '../support/made-up-tokens.ts';
import { ADMIN_TOKEN, type InternalSettings, STATUS, startInternalApp } from '../unit/http/running-internal-app.ts';
import { openConsole } from './console-page.ts';

let browser: Browser;

beforeAll(async () => {
  browser = await startChromium();
}, 300_000);
afterAll(() => browser?.close());

function storedAccount(unionId: string) {
  const record = (uniqueId: string) => madeUpRecord({ app: 'default', unionId, uniqueId });
  return { identity: { accessId: `access-${unionId}`, region: 'DE' }, records: ['phone-1', 'phone-2'].map(record) };
}

/** A console of a broker that knows alice and bob. It acts at once, but may keep its answers. */
async function openSlowConsole() {
  const known = new Map(['alice', 'bob'].map((unionId) => [unionId, storedAccount(unionId)]));
  const asked: string[] = [];
  const kept: (() => void)[] = [];
  /** The kinds of answers that are kept. */
  let slow: readonly ('account' | 'status')[] = [];
  const unlessKept = async <Value>(kind: 'account' | 'status', value: Value) => {
    if (slow.includes(kind)) await new Promise<void>((resolve) => kept.push(resolve));
    return value;
  };
  const answer = <Value>(question: string, value: Value) => {
    asked.push(question);
    return unlessKept('account', value);
  };
  const status = () => unlessKept('status', STATUS);
  const accounts: InternalSettings['accounts'] = {
    find: (unionId) => answer(`find ${unionId}`, known.get(unionId) ?? { records: [] }),
    identify: async (unionId) => known.get(unionId)?.identity,
    lookUp: async () => new Map(),
    erase: async (unionId) => {
      known.delete(unionId);
      await answer(`erase ${unionId}`, undefined);
    },
    logOut: ({ uniqueId }) => answer(`log out ${uniqueId}`, undefined),
    logOutEverywhere: (unionId) => answer(`log out ${unionId}`, undefined),
  };
  const { origin } = await startInternalApp({ logLevel: 'warn', accounts, status });
  const opened = await openConsole(browser, `${origin}/console`);
  const { page, enter, lookUp } = opened;
  await enter(ADMIN_TOKEN);
  await lookUp('alice');
  asked.length = 0;
  return {
    ...opened,
    message: () => page.locator('#lookup-message').textContent(),
    result: () => page.locator('#lookup-result').textContent(),
    logOut: async (phone: string) => {
      await page.getByRole('button', { name: `Log out ${phone}` }).click();
      await page.locator('#confirm-act').click();
    },
    keepAnswers: (...kinds: typeof slow) => {
      slow = ['account', ...kinds];
    },
    /** Waits until the broker was asked this since the first look-up, and nothing else. */
    expectAsked: (...questions: readonly string[]) => expect.poll(() => asked).toEqual(questions),
    /** Gives the answers that were kept, and lets the page use them. */
    answer: async () => {
      slow = [];
      for (const give of kept.splice(0)) give();
      await page.waitForTimeout(300);
    },
  };
}

test('the answer to a look-up is told in the language that the page has by then', async () => {
  const { page, ask, keepAnswers, expectAsked, answer, message } = await openSlowConsole();
  keepAnswers();
  await ask('bob');
  await expectAsked('find bob');
  await page.getByRole('button', { name: '中文' }).click();
  await answer();
  await expect.poll(message).toBe('找到账号，共 2 个终端。');
});

describe('an answer that arrives after the session was ended', () => {
  test.each(['find bob', 'log out phone-1'])('shows neither the page nor an account again: %s', async (question) => {
    const { page, ask, askNow, logOut, keepAnswers, expectAsked, answer, message, result } = await openSlowConsole();
    keepAnswers('status');
    await askNow();
    await (question === 'find bob' ? ask('bob') : logOut('phone-1'));
    await expectAsked(question);
    await page.getByRole('button', { name: 'End the session' }).click();
    await answer();
    expect(await page.locator('#ask').isVisible()).toBe(true);
    expect(await page.locator('#content').isVisible()).toBe(false);
    expect([await result(), await message(), await page.locator('#token-error').textContent()]).toEqual(['', '', '']);
  });

  test('to a former token does not refuse the one that was entered since', async () => {
    const { page, enter } = await openSlowConsole();
    await page.getByRole('button', { name: 'End the session' }).click();
    const held = new Promise<Route>((resolve) => {
      void page.route('**/console/calls*', resolve, { times: 1 });
    });
    await enter('wrong-token');
    const refusal = await held;
    const response = await refusal.fetch();
    await enter(ADMIN_TOKEN);
    await page.locator('#content').waitFor();
    await refusal.fulfill({ response });
    await page.waitForTimeout(200);
    expect(await page.locator('#content').isVisible()).toBe(true);
    expect(await page.locator('#ask').isVisible()).toBe(false);
  });
});

describe('a look-up', () => {
  test('takes the former account from the page before its answer arrives', async () => {
    const { ask, keepAnswers, expectAsked, answer, message, result } = await openSlowConsole();
    keepAnswers();
    await ask('bob');
    await expectAsked('find bob');
    expect(await result()).toBe('');
    expect(await message()).toBe('Looking up…');
    await answer();
    await expect.poll(result).toMatch(/^unionIdbob/);
  });

  test('without an id takes the former account from the page, and no answer from before brings one back', async () => {
    const { ask, keepAnswers, expectAsked, answer, message, result } = await openSlowConsole();
    await ask('..');
    expect(await result()).toBe('');
    keepAnswers();
    await ask('bob');
    await expectAsked('find bob');
    await ask('');
    await answer();
    expect(await message()).toBe('Enter an id.');
    expect(await result()).toBe('');
  });
});

describe('a change of an account', () => {
  test('whose answer is lost leaves no account on the page: it may be erased', async () => {
    const { page, erase, expectAsked, message, result } = await openSlowConsole();
    await page.route('**/console/calls*', async (route) => {
      await route.fetch();
      await route.abort();
    });
    await erase('alice');
    await expectAsked('erase alice');
    await expect.poll(message).toMatch(/^The replica did not answer/);
    expect(await result()).toBe('');
  });

  test('is told without a second question, which may fail', async () => {
    const { page, logOut, expectAsked, message, result } = await openSlowConsole();
    await logOut('phone-1');
    await expect.poll(message).toBe('phone-1 is logged out.');
    expect(await page.locator('.terminals h4 bdi').allTextContents()).toEqual(['phone-2']);
    expect(await result()).toContain('1 of 20 phones');
    await expectAsked('log out phone-1');
  });

  test.each(['erase alice', 'log out phone-1'])('is told before another one can be looked up: %s', async (change) => {
    const { page, ask, erase, logOut, keepAnswers, expectAsked, answer, message, result } = await openSlowConsole();
    keepAnswers();
    await (change === 'erase alice' ? erase('alice') : logOut('phone-1'));
    await expectAsked(change);
    await page.locator('#lookup-id').click({ force: true });
    await page.keyboard.type('bob');
    await page.keyboard.press('Enter');
    await page.waitForTimeout(300);
    await expectAsked(change);
    await answer();
    await expect.poll(message).toMatch(/ is (erased|logged out)\.$/);
    await ask('bob');
    await expect.poll(result).toMatch(/^unionIdbob/);
  });

  test('that is answered in a later session changes neither the account of that one nor the focus', async () => {
    const { page, ask, signIn, logOut, keepAnswers, expectAsked, answer, message, result } = await openSlowConsole();
    keepAnswers();
    await logOut('phone-1');
    await expectAsked('log out phone-1');
    await page.getByRole('button', { name: 'End the session' }).click();
    await signIn(ADMIN_TOKEN);
    await ask('bob');
    await expectAsked('log out phone-1', 'find bob');
    await page.evaluate('document.activeElement.blur()');
    await answer();
    await expect.poll(result).toMatch(/^unionIdbob/);
    expect(await message()).toBe('Account found, with 2 terminals.');
    expect(await page.evaluate('document.activeElement === document.body')).toBe(true);
  });

  test('is not confirmed by a double click on the button that asks', async () => {
    const { page, expectAsked } = await openSlowConsole();
    await page.setViewportSize({ width: 390, height: 844 });
    const button = page.getByRole('button', { name: 'Log out phone-1' });
    const dialog = page.getByRole('dialog');
    await button.click();
    const act = await page.locator('#confirm-act').boundingBox();
    await page.keyboard.press('Escape');
    const before = await button.boundingBox();
    if (!act || !before) throw new Error('a button has no place');
    await page.evaluate(`scrollBy(0, ${before.y - act.y})`);
    const after = await button.boundingBox();
    const [x, y] = [Math.max(act.x, before.x) + 5, act.y + act.height / 2];
    expect(after?.y).toBeLessThan(y);
    await page.mouse.dblclick(x, y);
    await dialog.waitFor();
    await page.waitForTimeout(300);
    expect(await dialog.isVisible()).toBe(true);
    await page.locator('#confirm-act').click();
    await expectAsked('log out phone-1');
  });
});
