import { randomUUID } from 'node:crypto';
import type { RedisClient } from './clients.ts';
import type { RedisParts } from './redis-parts.ts';

/** Notices when Redis is back, and whether it came back without its data: then the mark that was left in it is gone. */
export class RedisEpoch {
  readonly #parts: Pick<RedisParts, 'redis' | 'keys' | 'log'>;
  readonly #listeners: ((lostData: boolean) => void)[] = [];
  #mark: string | undefined;

  constructor(connection: RedisClient, parts: Pick<RedisParts, 'redis' | 'keys' | 'log'>) {
    this.#parts = parts;
    connection.on('ready', () => void this.#compare());
  }

  onReturn(listener: (lostData: boolean) => void): void {
    this.#listeners.push(listener);
  }

  async #compare(): Promise<void> {
    const { redis, keys, log } = this.#parts;
    try {
      await redis.run(keys.epoch, (client) => client.set(keys.epoch, randomUUID(), 'NX'));
      const mark = (await redis.run(keys.epoch, (client) => client.get(keys.epoch))) ?? undefined;
      const before = this.#mark;
      this.#mark = mark;
      if (before === undefined) return;
      if (before !== mark) log.warn({}, 'Redis has lost its data: what is in memory is written back');
      for (const listener of this.#listeners) listener(before !== mark);
    } catch (error) {
      log.warn({ err: error }, 'Redis is back, but could not be asked whether it has kept its data');
    }
  }
}
