import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { Keys } from '../../../src/store/redis/keys.ts';
import { accountOf, type Subject, subjectId } from '../../../src/token/subject.ts';
import { KEY_PREFIX } from '../broker-setup.ts';
import { usedMemory, withEmptyRedis } from '../processes/redis.ts';
import { newSubjects } from '../subjects.ts';

const ENTRIES = 50_000;
const BATCH = 500;
const RENEW_IN_MS = 24 * 86_400_000;

export interface ScheduleBytes {
  readonly broker: number;
  /** With the subject in the job. */
  readonly bullmq: number;
  /** With only the broker's short id in the job. Redis stores such a small job compactly. */
  readonly bullmqWithShortId: number;
}

/** Bytes of Redis that the schedule needs per token. */
export async function scheduleBytes(): Promise<ScheduleBytes> {
  const keys = new Keys(KEY_PREFIX);
  const broker = await bytesEach(async (redis, subjects, at) => {
    const pipeline = redis.pipeline();
    for (const id of subjects.map(subjectId)) pipeline.zadd(keys.dueOf(accountOf(id)), at, id);
    await pipeline.exec();
  });
  const jobs = (dataOf: (subject: Subject) => object) =>
    bytesEach(async (redis, subjects, at) => {
      const queue = new Queue('renewal', { connection: redis });
      const opts = { delay: at - Date.now(), removeOnComplete: true };
      await queue.addBulk(subjects.map((subject) => ({ name: 'renewal', data: dataOf(subject), opts })));
    });
  const bullmq = await jobs((subject) => subject);
  const bullmqWithShortId = await jobs((subject) => ({ id: subjectId(subject) }));
  return { broker, bullmq, bullmqWithShortId };
}

type Schedule = (redis: Redis, subjects: readonly Subject[], at: number) => Promise<void>;

function bytesEach(schedule: Schedule): Promise<number> {
  return withEmptyRedis(async (redis) => {
    const before = await usedMemory(redis);
    for (let done = 0; done < ENTRIES; done += BATCH) {
      const subjects = newSubjects(BATCH).map((subject) => ({ app: 'default', ...subject }));
      await schedule(redis, subjects, Date.now() + RENEW_IN_MS + done);
    }
    return ((await usedMemory(redis)) - before) / ENTRIES;
  });
}
