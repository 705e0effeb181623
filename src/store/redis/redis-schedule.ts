import type { DueClaims } from '../../token/ports.ts';
import { accountOf, type SubjectId, terminalOf } from '../../token/subject.ts';
import { SHARDS } from './keys.ts';
import type { RedisParts } from './redis-parts.ts';

/** The due queue: per shard a sorted set of what is to be looked at, by instant. */
export class RedisSchedule {
  readonly #redis: RedisParts['redis'];
  readonly #keys: RedisParts['keys'];
  /** Which shard may give one more than others, in turn. */
  #first = 0;

  constructor({ redis, keys }: Pick<RedisParts, 'redis' | 'keys'>) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /** What can be claimed: a shard that does not answer keeps its own to itself. @throws BrokerError where none answers */
  async claim(limit: number, visibilityMs: number): Promise<DueClaims> {
    const first = this.#first++ % SHARDS;
    const claims = await Promise.allSettled(
      Array.from({ length: SHARDS }, (_, place) => {
        const most = Math.floor(limit / SHARDS) + (place < limit % SHARDS ? 1 : 0);
        return this.#redis.script('claimDue', [this.#keys.due((first + place) % SHARDS)], [most, visibilityMs]);
      }),
    );
    const answers = claims.flatMap((claim) => (claim.status === 'fulfilled' ? [claim.value] : []));
    if (answers.length === 0) throw (claims[0] as PromiseRejectedResult).reason;
    const ids: SubjectId[] = [];
    let nextInMs: number | undefined;
    let backlog = 0;
    for (const [next, left, ...claimed] of answers as [number, number, ...Buffer[]][]) {
      backlog += left;
      ids.push(...claimed.map((id) => id.toString() as SubjectId));
      if (next >= 0) nextInMs = Math.min(nextInMs ?? next, next);
    }
    return { ids, nextInMs, backlog };
  }

  async set(id: SubjectId, dueInMs: number): Promise<void> {
    await this.#redis.script('schedule', [this.#keys.dueOf(accountOf(id))], [dueInMs, id]);
  }

  async sweep(id: SubjectId): Promise<void> {
    const keys = [this.#keys.account(accountOf(id)), this.#keys.dueOf(accountOf(id))];
    await this.#redis.script('sweep', keys, [terminalOf(id), id]);
  }
}
