import { type Browser, chromium } from 'playwright-core';
import { systemBinary } from './system-binary.ts';

/** Starts Chromium without a window. Installs it where this user may do so. */
export function startChromium(): Promise<Browser> {
  const executablePath = systemBinary({ program: 'chromium', need: 'This test opens pages in a browser' });
  return chromium.launch({ executablePath });
}
