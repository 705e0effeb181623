import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchSessions } from '../sessions.ts';
import type { BenchSubject } from '../subjects.ts';
import type { RequestList } from './wrk.ts';

/**
 * A session for each subject, and the order in which they ask.
 * @param order indices of subjects; default: one after the other
 */
export async function writeRequests(
  folder: string,
  sessions: BenchSessions,
  subjects: readonly BenchSubject[],
  order: readonly number[] = [...subjects.keys()],
): Promise<RequestList> {
  const [sessionsFile, orderFile] = [join(folder, 'sessions'), join(folder, 'order')];
  await writeFile(sessionsFile, subjects.map((subject) => `${subject.uniqueId} ${sessions.of(subject)}\n`).join(''));
  await writeFile(orderFile, order.map((index) => `${index + 1}\n`).join(''));
  return { sessionsFile, orderFile };
}
