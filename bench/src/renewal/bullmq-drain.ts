// A process that renews due tokens with BullMQ: one delayed job per token. Each job adds the next one at its end.
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { RecordCodec } from '../../../src/store/redis/records/record-codec.ts';
import { dueAt } from '../../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { type Subject, type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { benchCipher, POLICY } from '../broker-setup.ts';
import { DrainMeter, drainInput, printResult } from './drain.ts';
import { newToken, putDueRecords } from './due-records.ts';

const NAME = 'renewal';
const { redisUrl, tokens, concurrency = 1 } = drainInput();
const meter = new DrainMeter(tokens);
const redis = new Redis(redisUrl);
const codec = new RecordCodec(benchCipher());
const queue = new Queue<Subject>(NAME, { connection: redis });
const keyOf = (id: SubjectId) => `token:${id}`;

function write(record: TokenRecord, id: SubjectId): Promise<unknown> {
  const key = keyOf(id);
  return redis.set(key, codec.encode(record, id, key), 'PXAT', record.token.expiresAt);
}

function schedule(subject: Subject, delay: number): Promise<unknown> {
  return queue.add(NAME, subject, { delay, removeOnComplete: true });
}

await putDueRecords(tokens, async (record) => {
  const id = subjectId(record.subject);
  await Promise.all([write(record, id), schedule(record.subject, 1)]);
});

const worker = new Worker<Subject>(
  NAME,
  async ({ data: subject }) => {
    const id = subjectId(subject);
    const key = keyOf(id);
    const bytes = await redis.getBuffer(key);
    const known = bytes && codec.decode(bytes, id, key);
    if (!known) throw new Error('a token is missing in Redis');
    const renewed = { ...known, token: newToken(subject), generation: known.generation + 1, read: false };
    await write(renewed, id);
    await schedule(subject, dueAt(renewed, POLICY) - Date.now());
  },
  { connection: redis.duplicate({ maxRetriesPerRequest: null }), concurrency },
);
worker.on('completed', () => meter.count());
worker.on('error', fail);
worker.on('failed', (_, error) => meter.fail(error));
printResult(await meter.done);
await worker.close();
await queue.close();
await redis.quit();
process.exit(0);

function fail(error: Error): never {
  throw error;
}
