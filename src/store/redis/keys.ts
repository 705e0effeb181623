import { hash } from 'node:crypto';
import { accountOf, type SubjectId } from '../../token/subject.ts';

/** Over how many hash slots of a Redis Cluster the accounts are spread. Changing it loses every stored token. */
export const SHARDS = 16;

/** Every key the broker uses in Redis. What changes together carries the same hash tag, so it is one slot on a cluster. */
export class Keys {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** HASH of one account: terminal digest → record. It is the account index too. */
  account(id: SubjectId): string {
    return `${this.#shard(shardOf(id))}:a:${accountOf(id)}`;
  }

  /** STRING: the owner of the right to log in for the subject; lives as long as the lease. */
  lease(id: SubjectId): string {
    return `${this.#shard(shardOf(id))}:l:${id}`;
  }

  /** STRING: the newest generation handed out, or the one a logout outdated; nothing older may be written. */
  fence(id: SubjectId): string {
    return `${this.#shard(shardOf(id))}:f:${id}`;
  }

  /** ZSET of one shard: subject id → epoch ms at which it is to be looked at. */
  due(shard: number): string {
    return `${this.#shard(shard)}:due`;
  }

  dueOf(id: SubjectId): string {
    return this.due(shardOf(id));
  }

  /** Pub/sub channel on which every replica hears what changed. */
  get announcements(): string {
    return `${this.#prefix}:announce`;
  }

  #shard(shard: number): string {
    return `${this.#prefix}:{${shard}}`;
  }
}

function shardOf(id: SubjectId): number {
  return hash('sha256', accountOf(id), 'buffer').readUInt16BE() % SHARDS;
}
