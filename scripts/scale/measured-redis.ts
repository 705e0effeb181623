import { Redis } from 'ioredis';
import { startRedis } from '../../test/support/redis-server.ts';

export interface MeasuredRedis {
  readonly url: string;
  readonly client: Redis;
  /** A number that Redis tells of itself: a field of `INFO`. */
  info(field: string): Promise<number>;
  /** Seconds of CPU it has had. */
  cpuSeconds(): Promise<number>;
  /** Ends it; without that it ends with this process. */
  close(): Promise<void>;
}

/** A Redis of its own on loopback, without persistence. */
export async function startMeasuredRedis(): Promise<MeasuredRedis> {
  const { url, stop } = await startRedis();
  const client = new Redis(url);
  const info = async (field: string) => {
    const [, value] = new RegExp(`^${field}:([0-9.]+)`, 'm').exec(await client.info()) ?? [];
    return Number(value);
  };
  return {
    url,
    client,
    info,
    cpuSeconds: async () => (await info('used_cpu_user')) + (await info('used_cpu_sys')),
    async close() {
      client.disconnect();
      await stop();
    },
  };
}
