import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import { Redis } from 'ioredis';
import { eventually } from '../../../../test/support/eventually.ts';
import { KEY_PREFIX } from '../broker-setup.ts';

/** A command and its arguments. The commands inside a script do not count: a script is one command. */
export type Command = readonly string[];

/** Keys of the broker's background commands: due queue, heartbeat with the check for lost data, summary for others. */
const BACKGROUND_KEYS = /:(?:due|changes|\{replicas\})$|:beat:/;

/** Records the commands that a Redis receives, by MONITOR. */
export class CommandLog {
  readonly #monitor: Redis;
  readonly #client: Redis;
  #commands: Command[] = [];

  private constructor(monitor: Redis, client: Redis) {
    this.#monitor = monitor;
    this.#client = client;
    monitor.on('monitor', (_time: string, command: string[], source: string) => {
      if (source !== 'lua') this.#commands.push(command);
    });
  }

  /** Call this before other clients use that Redis: ioredis fails if it gets a command while MONITOR starts. */
  static async open(url: string): Promise<CommandLog> {
    const client = new Redis(url);
    await client.ping();
    return new CommandLog(await client.monitor(), client);
  }

  /** The commands during `use`, without background commands. */
  async during(use: () => Promise<void>): Promise<Command[]> {
    await this.#untilComplete();
    this.#commands = [];
    await use();
    await this.#untilComplete();
    return this.#commands.filter((command) => !isBackground(command));
  }

  close(): void {
    this.#monitor.disconnect();
    this.#client.disconnect();
  }

  /** MONITOR reports in order: after it has reported this marker, it has reported all commands before. */
  async #untilComplete(): Promise<void> {
    const marker = crypto.randomUUID();
    await this.#client.echo(marker);
    await eventually(() => this.#commands.some(([, argument]) => argument === marker));
  }
}

/** The marker of {@link CommandLog}, or a command that no read sends. */
function isBackground([name = '', ...args]: Command): boolean {
  const keys = keysIn(args);
  return /^(ping|echo)$/i.test(name) || (keys.length > 0 && keys.every((key) => BACKGROUND_KEYS.test(key)));
}

/** Whether the command uses the lease of a subject. */
export function usesLease([, ...args]: Command): boolean {
  return keysIn(args).some((key) => key.includes('}:l:'));
}

function keysIn(args: readonly string[]): string[] {
  return args.filter((argument) => argument.startsWith(`${KEY_PREFIX}:`));
}

/**
 * Timers of a connection. Node's HTTP server restarts the idle timer of a socket per request, and caches the `Date`
 * header for a second. ioredis restarts the idle timer of its socket after each packet.
 */
const CONNECTION =
  /\((?:node:net|node:_http_\w+|node:internal\/(?:http|stream_base_commons)):|\.setSocketTimeout \(.*ioredis/;
const NODE_TIMERS = /\(?node:internal\/(?:timers|async_hooks|process\/\w+):|\(node:timers:/;

/**
 * Counts the timers that this process creates for HTTP requests, also in later asynchronous steps. Timers of
 * connections and of background jobs do not count.
 */
export class TimerCount {
  readonly #request = new AsyncLocalStorage<true>();
  created = 0;

  constructor() {
    subscribe('http.server.request.start', () => this.#request.enterWith(true));
    createHook({
      init: (_id, type) => {
        if (type === 'Timeout' && this.#request.getStore() && !isOfConnection()) this.created += 1;
      },
    }).enable();
  }
}

function isOfConnection(): boolean {
  const [, , , ...frames] = (new Error().stack ?? '').split('\n');
  const creator = frames.find((frame) => !NODE_TIMERS.test(frame));
  return creator !== undefined && CONNECTION.test(creator);
}
