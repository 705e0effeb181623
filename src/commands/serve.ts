import { loadConfig } from '../config/config.ts';
import { createLogger } from '../logger.ts';
import { startService } from '../service.ts';
import { type CommandContext, closeOnSignal, UsageError } from './command-line.ts';

/** The `serve` command. It runs until a signal ends it. @throws UsageError, ConfigError */
export async function serve(args: readonly string[], { env, version }: CommandContext): Promise<void> {
  if (args.length > 0) {
    throw new UsageError('serve takes no arguments: the environment configures it, see .env.example');
  }
  const config = loadConfig(env);
  const log = createLogger(config.logLevel);
  const service = await startService(config, log, version);
  log.info({ url: service.url, version }, 'ready');
  closeOnSignal(() => service.close(), log);
}
