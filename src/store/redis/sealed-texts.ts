import { type AccountId, DIGEST_LENGTH, type SubjectId } from '../../token/subject.ts';
import { ACCOUNT_FIELDS } from './keys.ts';
import type { RedisParts } from './redis-parts.ts';
import type { SealedText } from './token-cipher.ts';

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
