import { randomUUID } from 'node:crypto';
import { SHARDS } from '../../src/store/redis/keys.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import { DIGEST_LENGTH, type Subject } from '../../src/token/subject.ts';
import { eventually } from '../../test/support/eventually.ts';
import { accessIdOf } from '../../test/support/filled-store.ts';
import { LIFE_MS, madeUpRecord, madeUpToken } from '../../test/support/made-up-tokens.ts';
import { type Figures, formatCount } from './figures.ts';
import type { MeasuredRedis } from './measured-redis.ts';

const BATCH = 250;
/** A store that is slow for a moment must not end the script. */
const RETRIES = { timeoutMs: 30_000, everyMs: 500 };
const SAMPLES = 500;

/**
 * Stores tokens of different accounts. The first half of them is due.
 * @returns the subjects of the last tokens, at most `keep`, none of them due
 */
export async function fillRedis(store: TokenStore, tokens: number, keep: number, figures: Figures): Promise<Subject[]> {
  const subjects: Subject[] = [];
  const startedAt = performance.now();
  for (let done = 0; done < tokens; done += BATCH) {
    const records = Array.from({ length: Math.min(BATCH, tokens - done) }, newRecord);
    const dueAt = systemClock.now() + (done < tokens / 2 ? 0 : 0.8 * LIFE_MS);
    await eventually(() => Promise.all(records.map((record) => store.terminals.restore(record, dueAt))), RETRIES);
    if (done >= Math.max(tokens / 2, tokens - keep)) subjects.push(...records.map(({ subject }) => subject));
    showProgress(Math.min(1, (done + BATCH) / tokens), done / tokens);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  const rate = `${formatCount(seconds)} s, ${formatCount(tokens / seconds)} per second`;
  figures.note(`load of ${formatCount(tokens)} tokens`, rate);
  return subjects;
}

const COPIED_PER_CALL = 500;

/**
 * Copies keys: the last two characters become a number. One key in 450 ends so itself. KEYS: the keys. ARGV[1]: copies
 * of each.
 */
const COPY_KEYS = `
  for _, key in ipairs(KEYS) do
    local value, ttl = redis.call('DUMP', key), redis.call('PTTL', key)
    for copy = 10, 9 + tonumber(ARGV[1]) do
      redis.call('RESTORE', key:sub(1, -3) .. copy, math.max(ttl, 0), value, 'REPLACE')
    end
  end`;

/**
 * Copies the entries of a schedule. KEYS[1]: the schedule. ARGV: copies of each, due time, length of an account's id.
 */
const COPY_SCHEDULE = `
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    for copy = 10, 9 + tonumber(ARGV[1]) do
      redis.call('ZADD', KEYS[1], ARGV[2], id:sub(1, ARGV[3] - 2) .. copy .. id:sub(ARGV[3] + 1))
    end
  end`;

/**
 * Copies all tokens within Redis, so that it holds as many as a large installation. The copies are never read and not
 * due: they belong to no account. Storing ten million tokens one by one would take a quarter of an hour.
 */
export async function copyTokens({ client }: MeasuredRedis, keyPrefix: string, copies: number): Promise<void> {
  for (const kind of ['a', 'i']) {
    const originals: string[] = [];
    for await (const keys of client.scanStream({ match: `${keyPrefix}:*:${kind}:*`, count: 10_000 })) {
      originals.push(...(keys as string[]));
    }
    const unique = [...new Set(originals)];
    for (let at = 0; at < unique.length; at += COPIED_PER_CALL) {
      const keys = unique.slice(at, at + COPIED_PER_CALL);
      await client.eval(COPY_KEYS, keys.length, ...keys, copies);
    }
  }
  const dueAt = systemClock.now() + 0.8 * LIFE_MS;
  for (let shard = 0; shard < SHARDS; shard += 1) {
    await client.eval(COPY_SCHEDULE, 1, `${keyPrefix}:{${shard}}:due`, copies, dueAt, DIGEST_LENGTH);
  }
}

function newRecord(): TokenRecord {
  const unionId = randomUUID();
  return madeUpRecord({ app: 'default', unionId, uniqueId: randomUUID() }, madeUpToken(accessIdOf(unionId)));
}

/** Without a terminal, prints one line per 10 %. */
function showProgress(share: number, before: number): void {
  const percent = `${(100 * share).toFixed(1).padStart(5)} %`;
  if (process.stdout.isTTY) {
    process.stdout.write(share < 1 ? `\r${percent}` : '\r\x1b[K');
  } else if (Math.floor(10 * share) > Math.floor(10 * before)) {
    process.stdout.write(`loading ${percent}\n`);
  }
}

/**
 * Measures the memory of Redis per token: in total, and by kind of key.
 * @param emptyBytes memory of Redis before the tokens were stored
 */
export async function measureMemory(
  { client, info }: MeasuredRedis,
  keyPrefix: string,
  tokens: number,
  emptyBytes: number,
  figures: Figures,
): Promise<void> {
  const bytes = ((await info('used_memory')) - emptyBytes) / tokens;
  figures.note('bytes of Redis per token, total', formatCount(bytes));
  const usageOf = async (key: string) => Number(await client.memory('USAGE', key, 'SAMPLES', 1_000));
  const meanOf = async (kind: string) => {
    const usages: number[] = [];
    for await (const keys of client.scanStream({ match: `${keyPrefix}:*:${kind}:*`, count: 1_000 })) {
      usages.push(...(await Promise.all((keys as string[]).map(usageOf))));
      if (usages.length >= SAMPLES) break;
    }
    return usages.reduce((sum, usage) => sum + usage, 0) / usages.length;
  };
  figures.note('of these the account: record, country, directory entry', formatCount(await meanOf('a')));
  figures.note('of these the key for the lookup by accessId', formatCount(await meanOf('i')));
  const schedules = Array.from({ length: SHARDS }, (_, shard) => usageOf(`${keyPrefix}:{${shard}}:due`));
  const scheduleBytes = (await Promise.all(schedules)).reduce((sum, usage) => sum + usage, 0);
  figures.note('of these the schedule', formatCount(scheduleBytes / tokens));
}
