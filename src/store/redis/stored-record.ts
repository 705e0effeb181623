import type { TokenRecord } from '../../token/sdk-token.ts';
import type { SubjectId } from '../../token/subject.ts';
import type { RedisParts } from './redis-parts.ts';

/** An instant as Redis has it: epoch ms, or nothing. */
export function instantOf(bytes: Buffer | null | undefined): number | undefined {
  return bytes ? Number(bytes) : undefined;
}

/** A record as Redis has it, opened; one that an older key sealed is sealed anew in the background. */
export function readRecord(
  { records, resealing }: Pick<RedisParts, 'records' | 'resealing'>,
  bytes: Buffer | null | undefined,
  id: SubjectId,
  key: string,
): TokenRecord | undefined {
  if (!bytes) return undefined;
  if (!records.isCurrent(bytes)) resealing.later(records.sealedText(bytes, id, key));
  return records.decode(bytes, id, key);
}
