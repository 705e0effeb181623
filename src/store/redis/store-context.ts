import type { Clock } from '../../token/clock.ts';
import type { Log } from '../../token/log.ts';
import type { Observer } from '../../token/observer.ts';
import type { RedisCommands } from './connection/commands.ts';
import type { Keys } from './keys.ts';
import type { KnownChanges } from './known-changes.ts';
import type { DirectoryCodec, RecordCodec } from './records/record-codec.ts';

/** The objects that the parts of the Redis store share. */
export interface StoreContext {
  readonly redis: RedisCommands;
  readonly keys: Keys;
  readonly changes: KnownChanges;
  readonly records: RecordCodec;
  readonly directory: DirectoryCodec;
  readonly terminalsPerAccount: number;
  readonly clock: Clock;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly observer: Pick<Observer, 'storeLostData'>;
}
