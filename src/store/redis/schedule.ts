import { returningMs } from '../../token/login-queue.ts';
import type { DueQueue, DueSubjects, LoginQueue, RateLimiter } from '../../token/ports.ts';
import { HIDDEN_MS } from '../../token/renewal-timing.ts';
import { accountOf, type SubjectId, terminalOf } from '../../token/subject.ts';
import { initialsIn, SHARDS } from './keys.ts';
import type { StoreContext } from './store-context.ts';

/** The rate limits and the queue of vendor logins. */
export function redisRates({ redis, keys }: StoreContext): RateLimiter & LoginQueue {
  return {
    async take(name, intervalMs, burst) {
      return Number(await redis.script('take', [keys.rate(name)], [intervalMs, burst]));
    },
    async giveBack(name, intervalMs) {
      await redis.script('giveBack', [keys.rate(name)], [intervalMs]);
    },
    async reserve(pace, urgency, account) {
      const queueAndMark = [keys.loginQueue, keys.recentLogin(account)];
      const args = [pace.intervalMs, pace.burst, urgency, returningMs(pace)];
      const [granted, waitMs] = (await redis.script('reserve', queueAndMark, args)) as [number, number];
      return { granted: granted === 1, waitMs };
    },
    async nextPlaceInMs() {
      const ms = await redis.script('nextPlace', [keys.loginQueue], []);
      return ms === null ? undefined : Number(ms);
    },
  };
}

const SUBJECT_ID = /^[\w-]{44}$/;

/** A search for the end of tokens looks at so many tokens at once, which takes half a millisecond, and in all. */
const ENDS_AT_ONCE = 100;
const MAX_ENDS = 50_000;

interface ShardClaim {
  readonly shard: number;
  readonly most: number;
}

type ClaimAnswer = [nextInMs: number, backlog: number, overdueMs: number, dropped: number, ...ids: Buffer[]];

/** The due queue: one sorted set per shard, by due time. */
export function redisDueQueue({ redis, keys, log }: StoreContext): DueQueue {
  /** The first shard that gets one more than the others. It changes with each claim. */
  let nextFirst = 0;
  /** Entries that no broker wrote, since the start. */
  let droppedSoFar = 0;
  return {
    /** Claims nothing from a shard that does not answer. @throws BrokerError `store_unavailable` when none answers */
    async claim(limit) {
      const first = nextFirst++;
      const claims = Array.from({ length: SHARDS }, (_, place) => ({
        shard: (first + place) % SHARDS,
        most: Math.floor(limit / SHARDS) + (place < limit % SHARDS ? 1 : 0),
      }));
      // The shards of one server are one command.
      const servers = new Map<string, ShardClaim[]>();
      for (const claim of claims) {
        const part = redis.partOf(keys.due(claim.shard));
        servers.set(part, [...(servers.get(part) ?? []), claim]);
      }
      const outcomes = await Promise.allSettled([...servers.values()].map((shards) => claimIn(shards)));
      const shards = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []));
      if (shards.length === 0) throw (outcomes[0] as PromiseRejectedResult).reason;
      const nexts = shards.flatMap(({ nextInMs }) => nextInMs ?? []);
      return {
        ids: shards.flatMap(({ ids }) => ids),
        nextInMs: nexts.length > 0 ? Math.min(...nexts) : undefined,
        backlog: shards.reduce((sum, { backlog }) => sum + backlog, 0),
        overdueMs: Math.max(...shards.map(({ overdueMs }) => overdueMs)),
      };
    },

    async outlook(horizonsMs) {
      const shards = await Promise.all(
        Array.from({ length: SHARDS }, async (_, shard) => {
          return (await redis.script('outlook', [keys.due(shard)], horizonsMs)) as [number, number, ...number[]];
        }),
      );
      const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
      return {
        dueWithin: horizonsMs.map((_, at) => sum(shards.map(([, , ...counts]) => counts[at] ?? 0))),
        total: sum(shards.map(([, count]) => count)),
        overdueMs: Math.max(...shards.map(([overdueMs]) => overdueMs)),
      };
    },

    async firstEnd() {
      let first = Number.POSITIVE_INFINITY;
      // One after the other, because other commands go first.
      for (let shard = 0; shard < SHARDS; shard += 1) first = await firstEndIn(shard, first);
      return Number.isFinite(first) ? first : undefined;
    },
  };

  /** @param known the first end in the shards before */
  async function firstEndIn(shard: number, known: number): Promise<number> {
    const due = keys.due(shard);
    let first = known;
    for (let from = 0; from < MAX_ENDS / SHARDS; from += ENDS_AT_ONCE) {
      const to = from + ENDS_AT_ONCE - 1;
      const answer = await redis.command<Buffer[]>('zrange', due, from, to, 'WITHSCORES');
      const entries = answer.flat().map(String);
      const ids = entries.filter((entry) => SUBJECT_ID.test(entry)) as SubjectId[];
      const own = ids.filter((id) => keys.dueOf(accountOf(id)) === due);
      const accounts = own.map((id) => keys.account(accountOf(id)));
      const ends = own.length > 0 ? ((await redis.script('endsOf', accounts, own.map(terminalOf))) as number[]) : [];
      first = Math.min(first, ...ends.filter((end) => end > 0));
      // A token is due before it ends.
      if (entries.length < 2 * ENDS_AT_ONCE || Number(entries.at(-1)) >= first) break;
    }
    return first;
  }

  async function claimIn(claims: readonly ShardClaim[]): Promise<DueSubjects[]> {
    const queues = claims.map(({ shard }) => keys.due(shard));
    const args = claims.flatMap(({ shard, most }) => [most, `^[${initialsIn(shard)}][A-Za-z0-9_-]+$`]);
    const answers = (await redis.script('claimDue', queues, [HIDDEN_MS, ...args])) as ClaimAnswer[];
    const dropped = answers.reduce((sum, [, , , entries]) => sum + entries, 0);
    droppedSoFar += dropped;
    if (dropped > 0) log.warn({ entries: droppedSoFar }, 'due entries are dropped: no broker wrote them');
    return answers.map(([next, backlog, overdueMs, , ...claimed]) => ({
      ids: claimed.map(String) as SubjectId[],
      nextInMs: next < 0 ? undefined : next,
      backlog,
      overdueMs,
    }));
  }
}
