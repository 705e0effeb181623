import type { Clock } from '../../token/clock.ts';
import type { ConnectionLog } from './connection.ts';
import type { DirectoryCodec } from './directory-codec.ts';
import type { Keys } from './keys.ts';
import type { RecordCodec } from './record-codec.ts';
import type { RedisLink } from './redis-link.ts';
import type { Resealing } from './resealing.ts';

/** What the parts of the Redis store share. */
export interface RedisParts {
  readonly redis: RedisLink;
  readonly keys: Keys;
  readonly records: RecordCodec;
  readonly directory: DirectoryCodec;
  readonly resealing: Resealing;
  readonly clock: Clock;
  readonly log: ConnectionLog;
}
