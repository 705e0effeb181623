import type { Clock } from '../../token/clock.ts';
import type { Log } from '../../token/log.ts';
import type { Announcement, TokenStore } from '../../token/ports.ts';
import { readAnnouncement } from '../redis/announcements.ts';
import { Keys } from '../redis/keys.ts';
import { KnownChanges } from '../redis/known-changes.ts';
import { DirectoryCodec, RecordCodec } from '../redis/records/record-codec.ts';
import { TokenCipher } from '../redis/records/token-cipher.ts';
import { storeParts } from '../redis/redis-store.ts';
import type { StoreCommands, StoreContext } from '../redis/store-context.ts';
import { type Argument, MemoryRedis } from './memory-redis.ts';

export interface MemoryStoreOptions {
  readonly clock: Clock;
  readonly terminalsPerAccount: number;
  readonly log?: Pick<Log, 'warn'>;
}

/** In front of its keys. */
export const MEMORY_PREFIX = 'memory';

const NO_LOG = { warn: () => undefined };

/** The Redis store with its scripts, on a Redis that ends with this process. Announcements always arrive. */
export function createMemoryStore({ clock, terminalsPerAccount, log = NO_LOG }: MemoryStoreOptions): TokenStore {
  const startedAt = clock.monotonic();
  const listeners: ((announcement: Announcement) => void)[] = [];
  const redis = new MemoryRedis(clock, (_channel, text) => {
    const announcement = readAnnouncement(text, clock.now());
    if (announcement) for (const listener of listeners) listener(announcement);
  });
  return {
    ...partsOn(redis, { clock, terminalsPerAccount, log }),
    announcements: { subscribe: (listener) => void listeners.push(listener), completeSince: () => startedAt },
    health: { ping: async () => undefined, onReturn: () => undefined },
    // There is one replica.
    replicas: { leave: async () => undefined, others: async () => [], end: async () => undefined },
    close: async () => undefined,
  };
}

/** The parts of the Redis store on a Redis in memory. */
export function partsOn(redis: MemoryRedis, options: Pick<StoreContext, 'clock' | 'terminalsPerAccount' | 'log'>) {
  const keys = new Keys(MEMORY_PREFIX);
  const cipher = new TokenCipher([]);
  const commands: StoreCommands = {
    now: () => options.clock.now(),
    partOf: () => '',
    command: async <Answer>(name: string, ...args: readonly Argument[]) => redis.run(name, ...args) as Answer,
    script: async (name, scriptKeys, args) => redis.runScript(name, scriptKeys, [...args, '']),
  };
  const [records, directory] = [new RecordCodec(cipher), new DirectoryCodec(cipher)];
  return storeParts({ ...options, redis: commands, keys, changes: new KnownChanges(keys), records, directory });
}
