import type { Writable } from 'node:stream';
import { mastersOf, type RedisClient } from './clients.ts';

/**
 * Has the commands of one turn of the event loop sent in one piece: each piece is a system call here and wakes Redis.
 * None waits longer than that turn.
 */
export class OneWrite {
  readonly #client: RedisClient;
  #held: readonly Writable[] = [];

  constructor(client: RedisClient) {
    this.#client = client;
  }

  /** To be called before a command is sent. */
  begin(): void {
    if (this.#held.length > 0) return;
    this.#held = mastersOf(this.#client).flatMap(({ stream }) => stream ?? []);
    for (const stream of this.#held) stream.cork();
    if (this.#held.length > 0) setImmediate(() => this.#end());
  }

  #end(): void {
    for (const stream of this.#held) stream.uncork();
    this.#held = [];
  }
}
