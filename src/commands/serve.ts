import { executionAsyncResource } from 'node:async_hooks';
import { Script } from 'node:vm';
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

/** V8 forgets an allocation within two minutes. */
const SCRIPT_INTERVAL_MS = 60_000;

/**
 * The `serve` command. It runs until a signal ends it. SIGHUP, or a change of a file with a secret, reads the secrets
 * again.
 * @throws UsageError, HelpRequested, ConfigError
 */
export async function serve(args: readonly string[], { env, version }: CommandContext): Promise<void> {
  parseFlags(args, {}, HELP);
  keepTickFast();
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
  letV8FreeMemory();
  await ready;
  if (!stop.signal.aborted) log.info({ url, version }, 'ready');
}

/**
 * Lets V8 return the memory of the start, and of a burst of requests, to the system. V8 does that while the process
 * allocates little. But since V8 13.1 (Node.js 24), it takes a process whose C++ objects allocate nothing for one that
 * allocates much (`HasLowEmbedderAllocationRate` in its heap.cc). A script is such a C++ object. With
 * none, an idle replica takes 110 MB instead of 88 (Node.js 24.21).
 */
function letV8FreeMemory(): void {
  const allocate = (): void => void new Script('');
  allocate();
  setInterval(allocate, SCRIPT_INTERVAL_MS).unref();
}

/** Holds the object of one call of `process.nextTick`. */
const keptTicks: object[] = [];

/**
 * Keeps `process.nextTick` fast, which Node.js calls several times for each request. Each call creates an object. When
 * a full garbage collection finds none of them, as in an idle process, V8 forgets how they are made. From then on it
 * makes each one in a slow way, for as long as the process runs. First reads took 1.07 times the CPU with Node.js 20,
 * and 1.19 times with Node.js 24 (scenario `first`). One such object that stays prevents it.
 */
function keepTickFast(): void {
  process.nextTick(function keepTick() {
    keptTicks.push(executionAsyncResource());
  });
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
