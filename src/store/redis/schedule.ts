import { randomUUID } from 'node:crypto';
import type { Pace, Place, Urgency } from '../../token/login-queue.ts';
import type { DueClaim, DueClaims, DueQueue, Lease, LoginQueue, RateLimiter } from '../../token/ports.ts';
import { accountOf, type SubjectId, terminalOf } from '../../token/subject.ts';
import { SHARDS } from './keys.ts';
import { instantOf, type RedisParts, readRecord } from './records/stored-records.ts';

/** What is limited over all replicas: rates by name, and the queue of vendor logins. */
export class RedisRates implements RateLimiter, LoginQueue {
  readonly #redis: RedisParts['redis'];
  readonly #keys: RedisParts['keys'];

  constructor({ redis, keys }: Pick<RedisParts, 'redis' | 'keys'>) {
    this.#redis = redis;
    this.#keys = keys;
  }

  async take(name: string, intervalMs: number, burst: number): Promise<number> {
    return Number(await this.#redis.script('take', [this.#keys.rate(name)], [intervalMs, burst]));
  }

  async reserve({ intervalMs, burst }: Pace, urgency: Urgency): Promise<Place> {
    const answer = await this.#redis.script('reserve', [this.#keys.loginQueue], [intervalMs, burst, urgency]);
    const [granted, waitMs] = answer as [number, number];
    return { granted: granted === 1, waitMs };
  }
}

/** How long what is due hides from other workers before its lease does. */
const VISIBILITY_MS = 2_000;

type Granted = readonly [id: Buffer, generation: Buffer, record: Buffer, ...(Buffer | null)[]];
type Failed = readonly [id: Buffer];

/** What a shard came to: what was claimed there, the ms until its next entry is due, how many are due besides. */
interface ShardClaims {
  readonly claims: readonly DueClaim[];
  readonly nextInMs: number | undefined;
  readonly backlog: number;
}

/** The due queue: per shard a sorted set of what is to be looked at, by instant. */
export class RedisDueQueue implements DueQueue {
  readonly #parts: RedisParts;
  /** Which shard may give one more than others, in turn. */
  #first = 0;

  constructor(parts: RedisParts) {
    this.#parts = parts;
  }

  /** What can be claimed: a shard that does not answer keeps its own to itself. @throws BrokerError where none answers */
  async claim(limit: number, leaseMs: number): Promise<DueClaims> {
    const first = this.#first++;
    const outcomes = await Promise.allSettled(
      Array.from({ length: SHARDS }, (_, place) => {
        const most = Math.floor(limit / SHARDS) + (place < limit % SHARDS ? 1 : 0);
        return this.#claimIn((first + place) % SHARDS, most, leaseMs);
      }),
    );
    const shards = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    if (shards.length === 0) throw (outcomes[0] as PromiseRejectedResult).reason;
    const nexts = shards.flatMap(({ nextInMs }) => nextInMs ?? []);
    return {
      claims: shards.flatMap(({ claims }) => claims),
      nextInMs: nexts.length > 0 ? Math.min(...nexts) : undefined,
      backlog: shards.reduce((sum, { backlog }) => sum + backlog, 0),
    };
  }

  async #claimIn(shard: number, most: number, leaseMs: number): Promise<ShardClaims> {
    const { redis, keys } = this.#parts;
    const due = keys.due(shard);
    const answer = await redis.script('claimDue', [due], [most, VISIBILITY_MS]);
    const [next, backlog, ...claimed] = answer as [number, number, ...Buffer[]];
    const ids = claimed.map((id) => id.toString() as SubjectId);
    return {
      claims: ids.length > 0 ? await this.#lease(due, ids, leaseMs) : [],
      nextInMs: next < 0 ? undefined : next,
      backlog,
    };
  }

  /** The leases of what is due, as far as they can be had. */
  async #lease(due: string, ids: readonly SubjectId[], leaseMs: number): Promise<DueClaim[]> {
    const { redis, keys } = this.#parts;
    const ownerId = randomUUID();
    const subjectKeys = ids.flatMap((id) => [
      keys.lease(id),
      keys.fence(id),
      keys.account(accountOf(id)),
      keys.failures(id),
    ]);
    const subjects = ids.flatMap((id) => [terminalOf(id), id]);
    const args = [ownerId, leaseMs, ...subjects];
    const answers = (await redis.script('leaseDue', [due, ...subjectKeys], args)) as (Granted | Failed)[];
    return answers.flatMap((answer) => {
      if (answer.length > 1) return this.#claimOf(ownerId, leaseMs, answer as Granted) ?? [];
      this.#parts.log.warn({ subject: answer[0].toString() }, 'what is due cannot be claimed: it is none of ours');
      return [];
    });
  }

  #claimOf(ownerId: string, durationMs: number, granted: Granted): DueClaim | undefined {
    const [name, generation, bytes, region, erasedAt] = granted;
    const id = name.toString() as SubjectId;
    const lease = { id, ownerId, generation: Number(generation), durationMs };
    const record = readRecord(this.#parts, bytes, id, this.#parts.keys.account(accountOf(id)));
    if (record) return { lease, record, region: region?.toString(), erasedAt: instantOf(erasedAt) };
    this.#putOff(lease, this.#parts.records.expiryOf(bytes));
    return undefined;
  }

  /** What cannot be opened is left alone until its end. */
  #putOff({ id, ownerId }: Lease, expiresAt: number): void {
    const { redis, keys, clock, log } = this.#parts;
    const args = [ownerId, id, Math.max(1, Math.round(expiresAt - clock.now())), '', '', ''];
    redis.script('release', [keys.lease(id), keys.dueOf(accountOf(id)), keys.failures(id)], args).catch((error) => {
      log.warn({ subject: id, err: error }, 'a record that cannot be read could not be put off');
    });
  }
}
