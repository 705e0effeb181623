import closeWithGrace from 'close-with-grace';
import type { Log } from '../token/log.ts';

/** Most ms the end may take before it is forced. */
const FORCED_AFTER_MS = 12_000;

/**
 * On SIGTERM, SIGINT and their like closes and exits 0; on an error nobody caught closes and exits 1. A second signal
 * exits at once.
 */
export function closeOnSignal(close: () => Promise<void>, log?: Log): void {
  closeWithGrace({ delay: FORCED_AFTER_MS, logger: false }, async ({ err, signal }) => {
    if (err) log?.error({ err }, 'an error nobody caught: closing');
    else log?.info({ signal }, 'closing');
    await close();
    log?.info({}, 'closed');
  });
}
