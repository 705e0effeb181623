import { randomUUID } from 'node:crypto';

/** An account on one terminal. */
export interface BenchSubject {
  readonly unionId: string;
  readonly uniqueId: string;
}

export function newSubjects(count: number): BenchSubject[] {
  return Array.from({ length: count }, () => ({ unionId: randomUUID(), uniqueId: randomUUID() }));
}

/** One subject per line. */
export function writeSubjects(subjects: readonly BenchSubject[]): string {
  return subjects.map(({ unionId, uniqueId }) => `${unionId} ${uniqueId}`).join('\n');
}

export function readSubjects(text: string): BenchSubject[] {
  return text.split('\n').map((line) => {
    const [unionId = '', uniqueId = ''] = line.split(' ');
    return { unionId, uniqueId };
  });
}
