import type { Clock } from '../../../token/clock.ts';
import type { TokenRecord } from '../../../token/sdk-token.ts';
import { type AccountId, DIGEST_LENGTH, type SubjectId } from '../../../token/subject.ts';
import type { RedisLink } from '../connection/commands.ts';
import type { ConnectionLog } from '../connection/connection.ts';
import { ACCOUNT_FIELDS, type Keys } from '../keys.ts';
import type { DirectoryCodec } from './directory-codec.ts';
import type { RecordCodec } from './record-codec.ts';
import type { Resealing } from './resealing.ts';
import type { SealedText } from './token-cipher.ts';

/** What the parts of the Redis store share. */
export interface RedisParts {
  readonly redis: RedisLink;
  readonly keys: Keys;
  readonly records: RecordCodec;
  readonly directory: DirectoryCodec;
  readonly resealing: Resealing;
  readonly clock: Clock;
  readonly log: ConnectionLog;
}

/** Everything sealed in an account, from the fields of its hash: its records and its directory entry. */
export function sealedTextsOf(
  { keys, records, directory }: Pick<RedisParts, 'keys' | 'records' | 'directory'>,
  account: AccountId,
  fields: Readonly<Record<string, Buffer>>,
): SealedText[] {
  const key = keys.account(account);
  return Object.entries(fields).flatMap(([field, bytes]) => {
    if (field === ACCOUNT_FIELDS.directory) return directory.sealedText(bytes, key);
    if (field.length !== DIGEST_LENGTH) return [];
    return records.sealedText(bytes, (account + field) as SubjectId, key) ?? [];
  });
}

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
