import { SHARDS } from '../../src/store/redis/keys.ts';
import { count, type Figures } from './figures.ts';
import type { MeasuredRedis } from './measured-redis.ts';

const SAMPLES = 500;

/** What a token takes in Redis: all in, and of which keys. @param emptyBytes what Redis took before there were any */
export async function measureMemory(
  { client, info }: MeasuredRedis,
  keyPrefix: string,
  tokens: number,
  emptyBytes: number,
  figures: Figures,
): Promise<void> {
  const bytes = ((await info('used_memory')) - emptyBytes) / tokens;
  figures.note('bytes of Redis per token, all in', count(bytes));
  const usageOf = async (key: string) => Number(await client.memory('USAGE', key, 'SAMPLES', 1_000));
  const meanOf = async (kind: string) => {
    const usages: number[] = [];
    for await (const keys of client.scanStream({ match: `${keyPrefix}:*:${kind}:*`, count: 1_000 })) {
      usages.push(...(await Promise.all((keys as string[]).map(usageOf))));
      if (usages.length >= SAMPLES) break;
    }
    return usages.reduce((sum, usage) => sum + usage, 0) / usages.length;
  };
  figures.note('of these the account: record, country, directory entry', count(await meanOf('a')));
  figures.note('of these the look-up by accessId', count(await meanOf('i')));
  const schedules = Array.from({ length: SHARDS }, (_, shard) => usageOf(`${keyPrefix}:{${shard}}:due`));
  const scheduleBytes = (await Promise.all(schedules)).reduce((sum, usage) => sum + usage, 0);
  figures.note('of these the schedule', count(scheduleBytes / tokens));
}
