import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Page, Response } from 'playwright-core';
import { expect, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.ts';

const SCHEMES = ['light', 'dark'] as const;
const LANGUAGES = ['en', 'zh'] as const;
/** Longer than a busy machine takes. */
const BUSY = { timeoutMs: 60_000 };

/** An open console, and what it did. */
export interface ConsolePage {
  readonly page: Page;
  /** All answers that it got. */
  readonly responses: readonly Response[];
  /** Errors of its code and violations of its Content-Security-Policy so far. */
  problems(): Promise<readonly string[]>;
  /** Enters the admin token. */
  enter(token: string): Promise<void>;
  /** Enters the admin token, and waits until the page shows the status. */
  signIn(token: string): Promise<void>;
  /** Makes the page ask for the status now, as when its tab becomes visible. */
  askNow(): Promise<void>;
  /** Asks for an account, once. */
  ask(id: string): Promise<void>;
  /** Opens the dialog that erases the account, and answers it. */
  erase(id: string): Promise<void>;
  /** Types this id again in the dialog that erases, and confirms. */
  retype(id: string): Promise<void>;
  /** Looks an account up until the broker finds it: Redis may answer a busy machine too late. */
  lookUp(id: string): Promise<void>;
  /** The verdict, as soon as it matches. */
  verdict(expected: RegExp, timeoutMs?: number): Promise<void>;
  /** Fails if axe finds a violation, in any language and colour scheme. @returns the number of runs */
  expectAccessible(state: string): Promise<number>;
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** Opens the console in a new session of the browser, until the test ends. */
export async function openConsole(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<ConsolePage> {
  const context = await browser.newContext({ locale: 'en-GB', colorScheme: 'light', ...options });
  onTestFinished(() => context.close());
  await context.addInitScript(
    'window.violations = []; addEventListener("securitypolicyviolation", (event) => ' +
      'violations.push(event.violatedDirective + " " + event.blockedURI + " " + event.sample))',
  );
  context.setDefaultTimeout(BUSY.timeoutMs);
  const page = await context.newPage();
  const errors: string[] = [];
  const responses: Response[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('response', (response) => responses.push(response));
  page.on('console', (message) => {
    // Chromium writes a line about each answer with an error status. The tests cause those.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      errors.push(message.text());
  });
  await page.goto(url);
  const violations = () => page.evaluate<string[]>('window.violations');
  const enter = async (token: string) => {
    await page.locator('#token').fill(token);
    await page.locator('#token').press('Enter');
  };
  const retype = async (id: string) => {
    await page.locator('#confirm-retype').fill(id);
    await page.locator('#confirm-act').click();
  };
  return {
    page,
    responses,
    problems: async () => [...errors, ...(await violations())],
    enter,
    async signIn(token) {
      await enter(token);
      await page.locator('#content').waitFor();
    },
    async ask(id) {
      await page.locator('#lookup-id').fill(id);
      await page.locator('#lookup-id').press('Enter');
    },
    async erase(id) {
      await page.getByRole('button', { name: 'Erase the account' }).click();
      await retype(id);
    },
    retype,
    askNow: () => page.evaluate('void document.dispatchEvent(new Event("visibilitychange"))'),
    async lookUp(id) {
      await page.locator('#lookup-id').fill(id);
      const message = () => page.locator('#lookup-message').textContent();
      await eventually(async () => {
        await page.locator('#lookup-id').press('Enter');
        await expect.poll(message, { timeout: 5_000 }).toMatch(/^Account found/);
      }, BUSY);
    },
    async verdict(expected, timeout = BUSY.timeoutMs) {
      await expect.poll(() => page.locator('#verdict-text').textContent(), { timeout }).toMatch(expected);
    },
    async expectAccessible(state) {
      await page.evaluate(axe.source);
      const shown = await page.locator('[data-language][aria-pressed="true"]').getAttribute('data-language');
      let runs = 0;
      for (const language of LANGUAGES) {
        // A dialog covers the buttons, so the keyboard cannot reach them.
        await page.evaluate(`document.querySelector('[data-language=${language}]').click()`);
        for (const colorScheme of SCHEMES) {
          await page.emulateMedia({ colorScheme });
          const violations = await page.evaluate<Violation[]>('axe.run().then(({ violations }) => violations)');
          const found = violations.flatMap(({ id, nodes }) =>
            nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
          );
          expect(found, `${state}, ${language}, ${colorScheme}`).toEqual([]);
          runs += 1;
        }
      }
      await page.emulateMedia({ colorScheme: 'light' });
      await page.evaluate(`document.querySelector('[data-language=${shown}]').click()`);
      return runs;
    },
  };
}
