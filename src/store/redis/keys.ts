import { type AccountId, digest, type SubjectId } from '../../token/subject.ts';

/** Number of hash slots of a Redis Cluster that the accounts are spread over. Changing it loses every stored token. */
export const SHARDS = 16;

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The keys of the broker in Redis. Those that change together share a hash tag: they are in one slot of a cluster. */
export class Keys {
  readonly #prefix: string;
  readonly #channelPrefix: string;
  readonly #isCluster: boolean;

  /** @param database the number of the database. It matters for channels only */
  constructor(prefix: string, database = 0, isCluster = false) {
    this.#prefix = prefix;
    this.#isCluster = isCluster;
    // All databases of a Redis share the channels. No prefix contains an @.
    this.#channelPrefix = database === 0 ? prefix : `${prefix}:@${database}`;
  }

  /** HASH: the account's tokens, and what outlives them (record-codec.ts). It is the account index too. */
  account(account: AccountId): string {
    return `${this.#startFor(account)}:a:${account}`;
  }

  /** STRING: the owner of the subject's lease. The key expires with the lease. */
  lease(id: SubjectId): string {
    return `${this.#startFor(id)}:l:${id}`;
  }

  /** HASH: terminal → the three numbers of its fence (see prelude.lua). They refuse the tokens of earlier logins. */
  fences(account: AccountId): string {
    return `${this.#startFor(account)}:f:${account}`;
  }

  /** HASH: the number of the account's failed logins in a row, the last error code, and the end of the cool-down. */
  failures(account: AccountId): string {
    return `${this.#startFor(account)}:c:${account}`;
  }

  /** ZSET: subject id → epoch ms at which the subject is due. */
  due(shard: number): string {
    return `${this.#prefix}:{${shard}}:due`;
  }

  dueOf(account: AccountId): string {
    return `${this.#startFor(account)}:due`;
  }

  /** STRING: a pointer to the account with this accessId. */
  accessId(accessId: string): string {
    const name = digest(accessId);
    return `${this.#startFor(name)}:i:${name}`;
  }

  /** The SCAN pattern of all {@link account} keys. */
  get accountPattern(): string {
    return `${this.#prefix}:{*}:a:*`;
  }

  /** The account of an {@link account} key; `undefined` for any other key. */
  accountAt(key: string): AccountId | undefined {
    const account = key.slice(key.lastIndexOf(':') + 1) as AccountId;
    return key === this.account(account) ? account : undefined;
  }

  /** STREAM: the last changes of a shard, or of all shards of a server. Redis has lost data if one is missing. */
  changes(shard: number): string {
    return `${this.#prefix}:{${shard}}:changes`;
  }

  changesOf(account: AccountId): string {
    return this.changes(this.changesShardOf(account));
  }

  /** The shard of {@link changes} for an account. */
  changesShardOf(account: AccountId): number {
    return this.#isCluster ? shardOf(account) : 0;
  }

  /** HASH: the queue of vendor logins. */
  get loginQueue(): string {
    return `${this.#prefix}:{logins}`;
  }

  /** STRING: marks an account with a recent foreground login. It expires when the account is a newcomer again. */
  recentLogin(account: AccountId): string {
    return `${this.loginQueue}:${account}`;
  }

  /** STRING: epoch ms at which the next permit of a rate limit is due. */
  rate(name: string): string {
    const id = digest(name);
    return `${this.#startFor(id)}:r:${id}`;
  }

  /** HASH: what each replica leaves for the others, by a random id. */
  get replicas(): string {
    return `${this.#prefix}:{replicas}`;
  }

  /** STRING: `check` writes and deletes it in each shard to test its rights. */
  probe(shard: number): string {
    return `${this.#prefix}:{${shard}}:probe`;
  }

  /** Pub/sub channel of the announcements. */
  get announcements(): string {
    return `${this.#channelPrefix}:announce`;
  }

  /** Pub/sub channel of one replica's own heartbeats. */
  beats(replica: string): string {
    return `${this.#channelPrefix}:beat:${replica}`;
  }

  /** The start of the keys in a shard. @param digested decides on it: a digest's characters are evenly distributed */
  #startFor(digested: string): string {
    return `${this.#prefix}:{${shardOf(digested)}}`;
  }
}

/** The characters with which the ids in a shard begin. */
export function initialsIn(shard: number): string {
  return [...BASE64URL].filter((initial) => shardOf(initial) === shard).join('');
}

function shardOf(digested: string): number {
  return BASE64URL.indexOf(digested.charAt(0)) % SHARDS;
}
