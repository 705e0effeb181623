import axe from 'axe-core';
import { expect, onTestFinished, test } from 'vitest';
import { startChromium } from '../support/browser.ts';
import { startApp } from '../unit/http/running-app.ts';

/** The brightest part of the first colour behind a title that is not transparent. */
const BACKGROUND = `(() => {
  const colour = (node) => getComputedStyle(node).backgroundColor.match(/[\\d.]+/g).map(Number);
  let node = document.querySelector('.opblock-tag');
  while (node.parentElement && colour(node)[3] === 0) node = node.parentElement;
  return colour(node)[3] === 0 ? 255 : Math.max(...colour(node).slice(0, 3));
})()`;
const UNREADABLE =
  "axe.run({ runOnly: ['color-contrast'] }).then(({ violations }) => violations.flatMap(({ nodes }) => nodes.map(({ html }) => html)))";

test('/docs has the colours that the user prefers, also when they change', async () => {
  const browser = await startChromium();
  onTestFinished(() => browser.close());
  const { origin } = await startApp();
  const page = await browser.newPage({ colorScheme: 'dark' });
  await page.goto(`${origin}/docs`);
  await page.locator('.opblock').first().waitFor();
  const background = () => page.evaluate<number>(BACKGROUND);
  expect(await background()).toBeLessThan(64);
  await page.evaluate(axe.source);
  expect(await page.evaluate(UNREADABLE)).toEqual([]);
  await page.emulateMedia({ colorScheme: 'light' });
  await expect.poll(background).toBeGreaterThan(192);
}, 300_000);
