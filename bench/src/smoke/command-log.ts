import { Redis } from 'ioredis';
import { KEY_PREFIX } from '../broker-store.ts';

/** A command and its arguments, as Redis got them over a connection. What scripts call is part of their one command. */
export type Command = readonly string[];

/** What the broker asks of Redis when nobody asks it for anything: is it there, is anything due, who else is there. */
const BACKGROUND_KEYS = /:(?:due|epoch)$|:beat:/;

/** The commands a Redis gets, by its MONITOR. */
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

  /** To be opened before anybody else asks that Redis: ioredis breaks if it is told of a command while it begins. */
  static async open(url: string): Promise<CommandLog> {
    const client = new Redis(url);
    await client.ping();
    return new CommandLog(await client.monitor(), client);
  }

  /** Those it got during `use`, but for background work. */
  async during(use: () => Promise<void>): Promise<Command[]> {
    await this.#untilHeard();
    this.#commands = [];
    await use();
    await this.#untilHeard();
    return this.#commands.filter((command) => !isBackground(command));
  }

  close(): void {
    this.#monitor.disconnect();
    this.#client.disconnect();
  }

  /** MONITOR tells them in order: once it has told of this one, it has told of all before. */
  async #untilHeard(): Promise<void> {
    const marker = crypto.randomUUID();
    const heard = new Promise<void>((resolve) => {
      const listener = (_time: string, [, argument]: string[]) => {
        if (argument !== marker) return;
        this.#monitor.off('monitor', listener);
        resolve();
      };
      this.#monitor.on('monitor', listener);
    });
    await this.#client.echo(marker);
    await heard;
    this.#commands = this.#commands.filter(([, argument]) => argument !== marker);
  }
}

function isBackground([name = '', ...args]: Command): boolean {
  const keys = keysIn(args);
  return name.toLowerCase() === 'ping' || (keys.length > 0 && keys.every((key) => BACKGROUND_KEYS.test(key)));
}

/** Whether it has to do with the right to log in. */
export function concernsLease([, ...args]: Command): boolean {
  return keysIn(args).some((key) => key.includes('}:l:'));
}

function keysIn(args: readonly string[]): string[] {
  return args.filter((argument) => argument.startsWith(`${KEY_PREFIX}:`));
}
