import { expect, test } from 'vitest';
import { runLua } from '../../../../src/store/memory/lua.ts';
import { MemoryRedis } from '../../../../src/store/memory/memory-redis.ts';
import { TestClock } from '../../../support/test-clock.ts';

function createRedis() {
  const clock = new TestClock();
  const redis = new MemoryRedis(clock);
  const run = (name: string, ...args: (string | number)[]) => redis.execute(name, args.map(String));
  return { clock, redis, run };
}

test('keys that have expired take no memory, also if nobody asks for them', () => {
  const { clock, redis, run } = createRedis();
  for (let key = 0; key < 1_000; key += 1) run('SET', `key-${key}`, 'x', 'PX', 1_000);
  expect(redis.size).toBe(1_000);
  clock.advance(1_000);
  for (let time = 0; time < 500; time += 1) run('TIME');
  expect(redis.size).toBe(0);
});

test('a script that is refused, or that uses an unknown command, ends with the error of Redis', () => {
  const { clock, redis } = createRedis();
  const late = () => runLua('nextPlace', ['queue'], [String(clock.now() - 1)], redis.execute);
  expect(late).toThrow(`LATE ${clock.now()}`);
  expect(() =>
    runLua('nextPlace', ['queue'], [''], () => {
      throw new Error('unknown command');
    }),
  ).toThrow('unknown command');
});
