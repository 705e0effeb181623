import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Clock } from '../../token/clock.ts';
import type { ErrorCode } from '../../token/errors.ts';
import type { Announcement, DueClaims, Lease, LeaseAnswer, TokenStore } from '../../token/ports.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { type SubjectId, terminalOf } from '../../token/subject.ts';
import { Announcements } from './announcements.ts';
import { type ConnectionLog, connectRedis, orUnavailable, runScript } from './connection.ts';
import { Keys, SHARDS } from './keys.ts';
import { RecordCodec } from './record-codec.ts';
import { type EncryptionKey, TokenCipher } from './token-cipher.ts';

/** How long a logout, or a generation nobody saved, is remembered; a write older than that is refused as such. */
const FENCE_MS = 3_600_000;

export interface RedisTokenStoreOptions {
  readonly url: string;
  readonly keyPrefix: string;
  /** The first encrypts, all decrypt; none: records are stored in the clear. */
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly clock: Clock;
  readonly log: ConnectionLog;
}

/** The store shared by all replicas. Needs Redis 6.2 or later, or what speaks like it. */
export class RedisTokenStore implements TokenStore {
  readonly #redis: Redis;
  readonly #announcements: Announcements;
  readonly #keys: Keys;
  readonly #codec: RecordCodec;
  readonly #clock: Clock;

  constructor({ url, keyPrefix, encryptionKeys, clock, log }: RedisTokenStoreOptions) {
    this.#keys = new Keys(keyPrefix);
    this.#codec = new RecordCodec(new TokenCipher(encryptionKeys));
    this.#clock = clock;
    this.#redis = connectRedis(url, 'commands', log);
    this.#announcements = new Announcements(connectRedis(url, 'announcements', log), this.#keys.announcements, clock);
  }

  async read(id: SubjectId): Promise<TokenRecord | undefined> {
    return this.#decode(await orUnavailable(this.#redis.hgetBuffer(this.#keys.account(id), terminalOf(id))), id);
  }

  async acquire(id: SubjectId, durationMs: number): Promise<LeaseAnswer> {
    const ownerId = randomUUID();
    const keys = [this.#keys.lease(id), this.#keys.fence(id), this.#keys.account(id), this.#keys.dueOf(id)];
    const answer = await runScript(this.#redis, 'acquire', keys, [ownerId, durationMs, terminalOf(id), id, FENCE_MS]);
    const [granted, value, record] = answer as [number, number | Buffer, Buffer | null];
    if (granted === 0) return { lease: undefined, heldForMs: Number(value) };
    const lease = { id, ownerId, generation: Number(value), durationMs };
    return { lease, current: this.#decode(record, id) };
  }

  async extend({ id, ownerId, durationMs }: Lease): Promise<boolean> {
    const keys = [this.#keys.lease(id), this.#keys.dueOf(id)];
    return (await runScript(this.#redis, 'extend', keys, [ownerId, durationMs, id])) === 1;
  }

  async save({ id, ownerId, generation }: Lease, record: TokenRecord, dueAt: number): Promise<boolean> {
    const account = this.#keys.account(id);
    const keys = [this.#keys.lease(id), this.#keys.fence(id), account, this.#keys.dueOf(id)];
    const saved = await runScript(this.#redis, 'save', keys, [
      ownerId,
      generation,
      terminalOf(id),
      id,
      this.#codec.encode(record, id, account),
      this.#msUntil(record.token.expiresAt),
      this.#msUntil(dueAt),
      FENCE_MS,
      this.#keys.announcements,
    ]);
    return saved === 1;
  }

  async release({ id, ownerId, generation }: Lease, dueAt: number | undefined, failure?: ErrorCode): Promise<void> {
    await runScript(
      this.#redis,
      'release',
      [this.#keys.lease(id), this.#keys.dueOf(id)],
      [
        ownerId,
        id,
        dueAt === undefined ? '' : this.#msUntil(dueAt),
        this.#keys.announcements,
        failure ? `failed ${id} ${generation} ${failure}` : '',
      ],
    );
  }

  async remove(id: SubjectId): Promise<void> {
    const keys = [this.#keys.fence(id), this.#keys.account(id), this.#keys.dueOf(id)];
    await runScript(this.#redis, 'remove', keys, [terminalOf(id), id, FENCE_MS, this.#keys.announcements]);
  }

  async markRead(id: SubjectId, generation: number): Promise<void> {
    await runScript(this.#redis, 'markRead', [this.#keys.account(id)], [terminalOf(id), generation]);
  }

  async claimDue(limit: number, visibilityMs: number): Promise<DueClaims> {
    const perShard = Math.ceil(limit / SHARDS);
    const shards = Array.from({ length: SHARDS }, (_, shard) => this.#keys.due(shard));
    const answers = await Promise.all(
      shards.map((due) => runScript(this.#redis, 'claimDue', [due], [perShard, visibilityMs])),
    );
    const ids: SubjectId[] = [];
    let nextInMs: number | undefined;
    for (const [next, ...claimed] of answers as [number, ...Buffer[]][]) {
      ids.push(...claimed.map((id) => id.toString() as SubjectId));
      if (next >= 0) nextInMs = Math.min(nextInMs ?? next, next);
    }
    return { ids, nextInMs };
  }

  async schedule(id: SubjectId, dueAt: number): Promise<void> {
    await runScript(this.#redis, 'schedule', [this.#keys.dueOf(id)], [this.#msUntil(dueAt), id]);
  }

  async sweep(id: SubjectId): Promise<void> {
    await runScript(this.#redis, 'sweep', [this.#keys.account(id), this.#keys.dueOf(id)], [terminalOf(id), id]);
  }

  subscribe(listener: (announcement: Announcement) => void): void {
    this.#announcements.subscribe(listener);
  }

  announcedSince(): number | undefined {
    return this.#announcements.announcedSince();
  }

  async ping(): Promise<void> {
    await orUnavailable(this.#redis.ping());
  }

  async close(): Promise<void> {
    this.#announcements.close();
    await this.#redis.quit().catch(() => this.#redis.disconnect());
  }

  #decode(bytes: Buffer | null, id: SubjectId): TokenRecord | undefined {
    return bytes ? this.#codec.decode(bytes, id, this.#keys.account(id)) : undefined;
  }

  /** Instants travel to Redis as spans, so that its clock and ours need not agree. */
  #msUntil(instant: number): number {
    return Math.max(1, Math.round(instant - this.#clock.now()));
  }
}
