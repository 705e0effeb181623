import { Redis } from 'ioredis';
import { startRedis } from '../../test/support/redis-server.ts';

export interface MeasuredRedis {
  readonly url: string;
  readonly pid: number;
  readonly client: Redis;
  /** Reads a numeric field of `INFO`. */
  info(field: string): Promise<number>;
  /** CPU seconds that the server has used. */
  cpuSeconds(): Promise<number>;
  /** Stops the server. Otherwise it ends with this process. */
  close(): Promise<void>;
}

/** Starts a new Redis on loopback, without persistence. */
export async function startMeasuredRedis(): Promise<MeasuredRedis> {
  const { url, pid, stop } = await startRedis();
  const client = new Redis(url);
  const info = async (field: string) => {
    const [, value] = new RegExp(`^${field}:([0-9.]+)`, 'm').exec(await client.info()) ?? [];
    return Number(value);
  };
  return {
    url,
    pid,
    client,
    info,
    cpuSeconds: async () => (await info('used_cpu_user')) + (await info('used_cpu_sys')),
    async close() {
      client.disconnect();
      await stop();
    },
  };
}
