import closeWithGrace from 'close-with-grace';
import type { Log } from '../token/log.ts';

/** After this time, in ms, the process exits even if `close` has not finished. */
const FORCED_EXIT_MS = 12_000;

/**
 * On SIGTERM, SIGINT and similar signals, calls `close` and exits with 0. On an uncaught error, calls `close` and exits
 * with 1. A second signal exits at once.
 */
export function closeOnSignal(close: () => Promise<void>, log?: Log): void {
  closeWithGrace({ delay: FORCED_EXIT_MS, logger: false }, async ({ err, signal }) => {
    if (err) log?.error({ err }, 'uncaught error: closing');
    else log?.info({ signal }, 'closing');
    await close();
    log?.info({}, 'closed');
  });
}
