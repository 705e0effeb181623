import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import type { SdkToken } from '../../src/token/sdk-token.ts';

const LIFE_MS = 30 * 86_400_000;

/** An account on a terminal. */
export interface BenchSubject {
  readonly unionId: string;
  readonly uniqueId: string;
}

export function newSubjects(count: number): BenchSubject[] {
  return Array.from({ length: count }, () => ({ unionId: randomUUID(), uniqueId: randomUUID() }));
}

/** A subject a line. */
export function writeSubjects(subjects: readonly BenchSubject[]): string {
  return subjects.map(({ unionId, uniqueId }) => `${unionId} ${uniqueId}`).join('\n');
}

export function readSubjects(text: string): BenchSubject[] {
  return text.split('\n').map((line) => {
    const [unionId = '', uniqueId = ''] = line.split(' ');
    return { unionId, uniqueId };
  });
}

/** Of the size and shape the vendor's tokens have, good for 30 days. */
export function randomToken(): SdkToken {
  const issuedAt = Date.now();
  const expiresAt = issuedAt + LIFE_MS;
  const fields = {
    accessId: randomId(),
    accessToken: randomBytes(64).toString('hex'),
    expireTime: String(Math.floor(expiresAt / 1_000)),
    terminalId: randomId(),
    expand: '{"area":"de","regRegion":"DE"}',
    expend: '{"area":"de","regRegion":"DE"}',
  };
  return { fields, issuedAt, expiresAt };
}

function randomId(): string {
  return `-${randomInt(2 ** 47)}${randomInt(10_000)}`;
}
