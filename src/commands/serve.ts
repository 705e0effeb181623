import { loadConfig } from '../config/config.ts';
import { createLogger } from '../logger.ts';
import { startService } from '../service.ts';
import { closeOnSignal } from './close-on-signal.ts';
import { type Terminal, UsageError } from './terminal.ts';

/** The `serve` command. @throws ConfigError */
export async function serve(args: readonly string[], { env, version }: Terminal): Promise<void> {
  if (args.length > 0) {
    throw new UsageError('serve takes no arguments: it is configured by the environment alone, see .env.example');
  }
  const config = loadConfig(env);
  const log = createLogger(config.logLevel);
  const service = await startService(config, log, version);
  log.info({ url: service.url, version }, 'ready');
  closeOnSignal(() => service.close(), log);
}
