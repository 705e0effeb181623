// Writes docs/images/console-*.png from a running demo, with its account looked up. It needs Chromium, and a Chinese font:
// without one, the Chinese page has empty boxes.
import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChromium } from '../test/support/browser.ts';
import { exitOf, linesOf } from '../test/support/child-process.ts';
import { eventually } from '../test/support/eventually.ts';

const FOLDER = new URL('../docs/images/', import.meta.url);
const MAX_BYTES = 200_000;
const SIZE = { width: 1180, height: 1260 };
/** The charts show minutes, so the demo runs for some. */
const RUN_MS = 150_000;

const child = spawn(process.execPath, ['dist/main.js', 'demo'], {
  env: { PATH: process.env['PATH'] },
  stdio: ['ignore', 'pipe', 'pipe'],
});
const exit = exitOf(child);
const lines = linesOf(child, 1_000);
const browser = await startChromium();
try {
  await eventually(() => /^curl /m.test(lines().join('\n')), { timeoutMs: 60_000 });
  const [url = ''] = /http:\S+\/console/.exec(lines().join('\n')) ?? [];
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
  await mkdir(FOLDER, { recursive: true });
  for (const [name, page] of [
    ['console-en.png', english],
    ['console-zh.png', chinese],
  ] as const) {
    const image = await page.screenshot();
    if (image.length > MAX_BYTES) throw new Error(`${name} has ${image.length} bytes, more than ${MAX_BYTES}`);
    await writeFile(new URL(name, FOLDER), image);
  }
} finally {
  await browser.close();
  child.kill('SIGINT');
  await exit;
}
