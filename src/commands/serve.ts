import { createHook } from 'node:async_hooks';
import { loadConfig } from '../config/config.ts';
import { createLogger } from '../logger.ts';
import { startService } from '../service.ts';
import { type CommandContext, closeOnSignal, UsageError } from './command-line.ts';

const kept: object[] = [];

/**
 * Keeps one of the objects `process.nextTick` makes for as long as the process lives. Should a full garbage collection
 * find none of them alive, as in a quiet minute, V8 (of Node.js 20 to 24) forgets what they look like and makes each one
 * after it the slow way: a read from memory then takes a sixth more CPU, for good.
 */
export function keepTick(): void {
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === 'TickObject') kept.push(resource);
    },
  }).enable();
  process.nextTick(() => undefined);
  hook.disable();
}

/** The `serve` command. It runs until a signal ends it. @throws UsageError, ConfigError */
export async function serve(args: readonly string[], { env, version }: CommandContext): Promise<void> {
  if (args.length > 0) {
    throw new UsageError('serve takes no arguments: the environment configures it, see .env.example');
  }
  keepTick();
  const config = loadConfig(env);
  const log = createLogger(config.logLevel);
  const service = await startService(config, log, version);
  log.info({ url: service.url, version }, 'ready');
  closeOnSignal(() => service.close(), log);
}
