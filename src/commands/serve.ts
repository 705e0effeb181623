import { loadConfig } from '../config/config.ts';
import { ConfigError, type Environment, watchSecretFiles } from '../config/environment.ts';
import { LogSampler } from '../http/refusal-log.ts';
import { createLogger } from '../logger.ts';
import { type Service, sampledLog, startService } from '../service.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import { systemClock } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import { type CommandContext, closeOnSignal, parseFlags } from './command-line.ts';

const HELP = `sdk-token-broker serve

Runs the service. The environment configures it; .env.example lists every setting. It has no options.`;

/** A receiver of traces that is down would leave a line for each export. There is one of a kind in this time. */
const TRACING_LINE_MS = 60_000;

/**
 * The `serve` command, until a signal. SIGHUP, or a change of a file with a secret, reads the secrets again.
 * @throws UsageError, HelpRequested, ConfigError
 */
export async function serve(args: readonly string[], { env, version }: CommandContext): Promise<void> {
  parseFlags(args, {}, HELP);
  // The start itself reads the files that have changed before it.
  let reload = (_cause: string): void => undefined;
  await watchSecretFiles(env, () => reload('a file has changed'));
  const config = loadConfig(env);
  const stop = new AbortController();
  let tracing: Tracing | undefined;
  const log = createLogger(config.logLevel, config.tracing && (() => tracing?.logFields() ?? {}));
  const start = async (): Promise<Service> => {
    // Its SDK has 700 KB of code and takes 30 ms to load. A service without tracing does not load it.
    if (config.tracing) {
      const { Tracing } = await import('../telemetry/tracing.ts');
      tracing = new Tracing(config.tracing, version, systemClock, sampledLog(log, new LogSampler(TRACING_LINE_MS)));
    }
    return startService(config, log, version, tracing, stop.signal);
  };
  const starting = start();
  const close = async (): Promise<void> => {
    stop.abort();
    await (await starting).close();
  };
  closeOnSignal(close, log, ['SIGHUP']);
  reload = (cause) => {
    starting.then(
      (service) => reloadSecrets(service, env, log, cause),
      () => undefined,
    );
  };
  process.on('SIGHUP', () => reload('SIGHUP'));
  const { url, ready } = await starting;
  await ready;
  if (!stop.signal.aborted) log.info({ url, version }, 'ready');
}

/** Reads every `X_FILE` again. If the configuration is not valid, the old secrets stay. */
function reloadSecrets(service: Service, env: Environment, log: Log, cause: string): void {
  try {
    log.info({ changed: service.reloadSecrets(() => loadConfig(env)) }, `${cause}: the secrets were read again`);
  } catch (error) {
    const reason = error instanceof ConfigError ? { problems: error.problems } : { err: error };
    log.error(reason, `${cause}: the old secrets stay, because the configuration is not usable`);
  }
}
