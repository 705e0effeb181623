import { Redis } from 'ioredis';

interface Asked {
  readonly port: number;
  readonly password?: string;
}

/** What a Redis on loopback answers, on a connection of its own. */
export async function ask<T>(asked: Asked, question: (redis: Redis) => Promise<T>): Promise<T> {
  const { port, password } = asked;
  const redis = new Redis({ port, password, host: '127.0.0.1', lazyConnect: true, retryStrategy: null });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}
