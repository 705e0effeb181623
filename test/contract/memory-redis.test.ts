import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { MemoryRedis } from '../../src/store/memory/memory-redis.ts';
import { systemClock } from '../../src/token/clock.ts';

const text = fc.constantFrom('a', 'b', 'c', 'd');
const score = fc.integer({ min: -3, max: 3 }).map(String);
const place = fc.integer({ min: 0, max: 3 }).map(String);
const limit = fc.oneof(score, fc.constantFrom('-inf', '+inf'));
const some = fc.array(text, { minLength: 1, maxLength: 3 });
/** Where the id of an entry of the stream is meant: the first one, the second one, … */
const id = fc.nat({ max: 5 }).map((at) => `id ${at}`);

const string = fc.oneof(
  fc.tuple(fc.constant('SET'), text),
  fc.tuple(fc.constant('SET'), text, fc.constant('PX'), fc.constant('60000')),
  fc.tuple(fc.constant('GET')),
);
const hash = fc.oneof(
  some.map((fields) => ['HSET', ...fields.flatMap((field) => [field, `of ${field}`])]),
  fc.tuple(fc.constantFrom('HSETNX', 'HSET'), text, text),
  fc.tuple(fc.constant('HINCRBY'), fc.constant('count'), score),
  fc.tuple(fc.constant('HGET'), text),
  some.map((fields) => ['HMGET', ...fields]),
  some.map((fields) => ['HDEL', ...fields]),
  fc.constantFrom(['HGETALL'], ['HLEN'], ['HRANDFIELD', '10', 'WITHVALUES']),
);
const sortedSet = fc.oneof(
  fc.tuple(fc.constant('ZADD'), score, text),
  fc.tuple(fc.constant('ZADD'), fc.constant('XX'), score, text),
  fc.tuple(fc.constant('ZADD'), fc.constant('XX'), fc.constantFrom('GT', 'LT'), score, text),
  some.map((members) => ['ZREM', ...members]),
  fc.tuple(fc.constant('ZCOUNT'), limit, limit),
  fc.tuple(fc.constant('ZRANGE'), place, fc.oneof(place, fc.constant('-1'))),
  fc.tuple(fc.constant('ZRANGE'), place, place, fc.constant('WITHSCORES')),
  fc
    .tuple(limit, limit, place, place)
    .map(([from, to, offset, count]) => ['ZRANGEBYSCORE', from, to, 'LIMIT', offset, count]),
);
const stream = fc.oneof(
  fc.constant(['XADD', 'MAXLEN', '3', '*', '', '']),
  fc.constantFrom(['XLEN'], ['XREVRANGE', '+', '-', 'COUNT', '1']),
  id.map((one) => ['XRANGE', one, one]),
  id.map((one) => ['XRANGE', '-', `(${one}`, 'COUNT', '1']),
);
const anyKey = fc.constantFrom(['DEL'], ['PTTL'], ['PEXPIRE', '60000'], ['PEXPIRE', '0'], ['PERSIST']);
const commands = fc.array(
  fc.oneof(
    ...[string, hash, sortedSet].map((of, type) =>
      fc.tuple(fc.oneof({ weight: 5, arbitrary: of }, anyKey), fc.constant(`key-${type}`)),
    ),
    // It is never deleted: after that, two entries of the same millisecond could have the same id.
    fc.tuple(stream, fc.constant('stream')),
  ),
  { minLength: 40, maxLength: 80 },
);

/** @param run runs a command */
function player(run: (name: string, ...args: string[]) => unknown) {
  const ids: string[] = [];
  const answerOf = (answer: unknown): unknown => {
    if (Array.isArray(answer)) return answer.map(answerOf);
    const value = answer instanceof Buffer ? String(answer) : answer;
    return typeof value === 'string' && ids.includes(value) ? `id ${ids.indexOf(value)}` : value;
  };
  return async ([name = '', ...args]: readonly string[], key: string) => {
    const named = args.map((one) => one.replace(/id (\d)/, (_, at) => ids[Number(at)] ?? '1-1'));
    const answer = await run(name, key, ...named);
    if (name === 'XADD') ids.push(String(answer));
    if (name === 'PTTL') return Number(answer) > 0 ? 'some' : answer;
    if (name === 'HRANDFIELD') return (answerOf(answer) as unknown[]).toSorted();
    return answerOf(answer);
  };
}

test('the Redis in memory answers a script as Redis does, whatever commands it was sent', async () => {
  const redis = new Redis(inject('redisUrl'));
  onTestFinished(() => redis.disconnect());
  await fc.assert(
    fc.asyncProperty(commands, async (sent) => {
      const prefix = randomUUID();
      const memory = new MemoryRedis(systemClock);
      const inRedis = player((...call) => redis.callBuffer('EVAL', 'return redis.call(unpack(ARGV))', '0', ...call));
      const inMemory = player((...call) => memory.run(...call));
      for (const [command, key] of sent) {
        const expected = await inRedis([...command], `test-${prefix}-${key}`);
        expect([command, key, await inMemory([...command], key)]).toEqual([command, key, expected]);
      }
    }),
    { numRuns: 300 },
  );
});
