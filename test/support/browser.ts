import { type Browser, chromium } from 'playwright-core';
import { onPath, systemBinary } from './system-binary.ts';

/** In order of preference: the headless shell takes half of the CPU of the whole browser. */
const PROGRAMS = ['chromium-headless-shell', 'chromium-browser', 'google-chrome', 'chromium'];

/**
 * Starts a Chromium of this machine. Installs Debian's with the system's package manager where this user may do so.
 * @throws Error that tells how to install it
 */
export function startChromium(): Promise<Browser> {
  const executablePath =
    PROGRAMS.map(onPath).find((path) => path !== undefined) ??
    systemBinary({ program: 'chromium', need: 'The tests of the console need a browser' });
  // Chromium's sandbox refuses to run as root. To a browser, a name that leads to this machine is no safe origin.
  const args = ['--host-resolver-rules=MAP broker 127.0.0.1'];
  if (process.getuid?.() === 0) args.push('--no-sandbox');
  return chromium.launch({ executablePath, args });
}
