// Writes docs/images/console-*.png from a running demo, as a newcomer sees it. It needs Chromium, and a Chinese
// font: without one, the Chinese page has empty boxes.
import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { startChromium } from '../test/support/browser.ts';
import { startCommand } from '../test/support/child-process.ts';
import { eventually } from '../test/support/eventually.ts';

const FOLDER = new URL('../docs/images/', import.meta.url);
const MAX_BYTES = 250_000;
const SIZE = { width: 1180, height: 1110 };
/** Some renewals, as somebody sees them who reads the output of the demo first. */
const RUN_MS = 30_000;

const { log, signal, exit } = startCommand(['demo']);
const browser = await startChromium();
try {
  await eventually(() => /^curl /m.test(log().join('\n')), { timeoutMs: 60_000 });
  const [url = ''] = /http:\S+\/console/.exec(log().join('\n')) ?? [];
  const open = async (locale: string, colorScheme: 'light' | 'dark') => {
    const context = await browser.newContext({ locale, colorScheme, viewport: SIZE, timezoneId: 'Asia/Shanghai' });
    const page = await context.newPage();
    await page.goto(url);
    return page;
  };
  const english = await open('en-GB', 'light');
  const chinese = await open('zh-CN', 'dark');
  // One app is enough.
  await chinese.locator('#demo-asks').uncheck();
  await sleep(RUN_MS);
  const shoot = async (name: string, page: Page) => {
    const image = await page.screenshot();
    if (image.length > MAX_BYTES) throw new Error(`${name} has ${image.length} bytes, more than ${MAX_BYTES}`);
    await writeFile(new URL(name, FOLDER), image);
  };
  await mkdir(FOLDER, { recursive: true });
  await shoot('console-en.png', english);
  // The Chinese page shows how a failure looks.
  await chinese.getByLabel('拒绝 App').check();
  await chinese.locator('#verdict[data-level=critical]').waitFor({ timeout: 100_000 });
  await shoot('console-zh.png', chinese);
} finally {
  await browser.close();
  signal('SIGINT');
  await exit;
}
