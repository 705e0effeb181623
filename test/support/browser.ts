import { type Browser, chromium } from 'playwright-core';
import { onPath, systemBinary } from './system-binary.ts';

/**
 * Starts a Chromium of this machine. Installs Debian's with the system's package manager where this user may do so.
 * @throws Error that tells how to install it
 */
export function startChromium(): Promise<Browser> {
  const executablePath =
    onPath('chromium-browser') ??
    onPath('google-chrome') ??
    systemBinary({ program: 'chromium', need: 'The tests of the console need a browser' });
  // Chromium's sandbox refuses to run as root.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath, args });
}
