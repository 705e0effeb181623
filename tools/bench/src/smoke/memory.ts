// What a token costs in Redis, and what reads from memory cost V8. Both have drifted without a sign before.
import { execFileSync } from 'node:child_process';
import { Redis } from 'ioredis';
import { saveToken } from '../../../../test/support/filled-store.ts';
import { startRedis } from '../../../../test/support/redis-server.ts';
import { BenchWorld } from '../bench-world.ts';
import { forEachSubject, newSubjects, openBrokerStore } from '../broker-setup.ts';
import { SERVER_CORE } from '../cores.ts';
import { load } from '../wrk.ts';

/** Each of them belongs to another account. */
const STORED_TOKENS = 20_000;

/** Bytes of Redis for each token after its login: account, country, look-ups, schedule, and Redis's own tables. */
export async function redisBytesPerToken(): Promise<number> {
  const server = await startRedis();
  const [store, redis] = [await openBrokerStore(server.url), new Redis(server.url)];
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
  const empty = await used();
  await forEachSubject(newSubjects(STORED_TOKENS), (subject) => saveToken(store, subject));
  const bytes = (await used()) - empty;
  await store.close();
  redis.disconnect();
  await server.stop();
  return bytes / STORED_TOKENS;
}

const KNOWN_TOKENS = 500;
const PROCESSES = 5;
const SECONDS = 5;

/** One process in fifty does it. A mistake would make it one in three, as docs/performance.md tells. */
const RARELY_MANY = 2;

/**
 * The most full garbage collections that one of five new processes makes on Node.js 24 in 5 s of reads from memory. One
 * a second means that V8 keeps for long what each request allocates. If they are many, five others are asked.
 */
export async function mostMarkCompacts(): Promise<number> {
  const node = process.version.startsWith('v24.')
    ? process.execPath
    : execFileSync('npx', ['-y', '-p', 'node@24', '-c', 'command -v node'], { encoding: 'utf8' }).trim();
  return BenchWorld.with(async (world) => {
    const list = await world.prepare(['broker'], newSubjects(KNOWN_TOKENS));
    const mostOfFive = async () => {
      const counts: number[] = [];
      for (let processes = 0; processes < PROCESSES; processes += 1) {
        const broker = await world.startBroker(SERVER_CORE, node, ['--trace-gc']);
        const count = () => broker.output().filter((line) => line.includes('Mark-Compact')).length;
        const before = count();
        await load(broker, { list, first: 1, last: KNOWN_TOKENS, repeat: true, seconds: SECONDS });
        counts.push(count() - before);
        await broker.stop();
      }
      return Math.max(...counts);
    };
    const most = await mostOfFive();
    return most > RARELY_MANY ? mostOfFive() : most;
  });
}
