import type { Clock } from '../../token/clock.ts';
import type { Log } from '../../token/log.ts';
import type { RedisCommands } from './connection/commands.ts';
import type { Keys } from './keys.ts';
import type { KnownChanges } from './known-changes.ts';
import type { DirectoryCodec, RecordCodec } from './records/record-codec.ts';

/** How the parts of the store reach Redis, or what stands in for it. See {@link RedisCommands}. */
export type StoreCommands = Pick<RedisCommands, 'script' | 'command' | 'partOf' | 'now'>;

/** The objects that the parts of the Redis store share. */
export interface StoreContext {
  readonly redis: StoreCommands;
  readonly keys: Keys;
  readonly changes: KnownChanges;
  readonly records: RecordCodec;
  readonly directory: DirectoryCodec;
  readonly terminalsPerAccount: number;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Pick<Log, 'warn'>;
}
