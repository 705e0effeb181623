import { type AccountId, accountOf, digest, type SubjectId } from '../../token/subject.ts';

/** Over how many hash slots of a Redis Cluster the accounts are spread. Changing it loses every stored token. */
export const SHARDS = 16;

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Every key the broker uses in Redis. What changes together carries the same hash tag, so it is one slot on a cluster. */
export class Keys {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /**
   * HASH of one account: terminal digest → record, and under {@link ACCOUNT_FIELDS} what outlives the tokens. It is the
   * account index too.
   */
  account(account: AccountId): string {
    return `${this.#accountShard(account)}:a:${account}`;
  }

  /** STRING: the owner of the right to log in for the subject; lives as long as the lease. */
  lease(id: SubjectId): string {
    return `${this.#accountShard(accountOf(id))}:l:${id}`;
  }

  /** STRING: the newest generation handed out, or the one a logout outdated; nothing older may be written. */
  fence(id: SubjectId): string {
    return `${this.#accountShard(accountOf(id))}:f:${id}`;
  }

  /** HASH: how often logins of the subject have failed lately, with what, and until when it is left alone. */
  failures(id: SubjectId): string {
    return `${this.#accountShard(accountOf(id))}:c:${id}`;
  }

  /** ZSET of one shard: subject id → epoch ms at which it is to be looked at. */
  due(shard: number): string {
    return `${this.#shard(shard)}:due`;
  }

  dueOf(account: AccountId): string {
    return this.due(shardOf(account));
  }

  /** STRING: the account with this accessId. */
  accessId(accessId: string): string {
    const name = digest(accessId);
    return `${this.#shard(shardOf(name))}:i:${name}`;
  }

  /** Matches the keys of all accounts, for SCAN. */
  get accountPattern(): string {
    return `${this.#prefix}:{*}:a:*`;
  }

  /** The account whose hash lies at `key`, where it is such a key. */
  accountAt(key: string): AccountId | undefined {
    const account = key.slice(key.lastIndexOf(':') + 1) as AccountId;
    return key === this.account(account) ? account : undefined;
  }

  /** STRING: made anew whenever Redis has lost its data. */
  get epoch(): string {
    return `${this.#prefix}:epoch`;
  }

  /** HASH: the queue of vendor logins. */
  get loginQueue(): string {
    return `${this.#prefix}:logins`;
  }

  /** STRING: when the next one is due of a rate kept over all replicas. */
  rate(name: string): string {
    const id = digest(name);
    return `${this.#shard(shardOf(id))}:r:${id}`;
  }

  /** STRING: written and removed at once, to see whether it can be. */
  get probe(): string {
    return `${this.#prefix}:probe`;
  }

  /** Pub/sub channel on which every replica hears what changed. */
  get announcements(): string {
    return `${this.#prefix}:announce`;
  }

  /** Pub/sub channel on which one replica hears itself: what it publishes there arrives as announcements do. */
  beats(replica: string): string {
    return `${this.#prefix}:beat:${replica}`;
  }

  #accountShard(account: AccountId): string {
    return this.#shard(shardOf(account));
  }

  #shard(shard: number): string {
    return `${this.#prefix}:{${shard}}`;
  }
}

/** The fields of an account that are no terminals: theirs have longer names. */
export const ACCOUNT_FIELDS = {
  /** The country it was pinned to. */
  region: 'r',
  /** unionId and accessId, sealed; before them a mark (see directory-codec.ts). */
  directory: 'd',
  /** Epoch ms of the last erasure. */
  erasedAt: 'e',
} as const;

/** @param digested a digest: its characters are spread evenly already */
function shardOf(digested: string): number {
  return BASE64URL.indexOf(digested.charAt(0)) % SHARDS;
}
