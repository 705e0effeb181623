import { type AccountId, DIGEST_LENGTH, type SubjectId } from '../../../token/subject.ts';
import type { Keys } from '../keys.ts';
import type { ScriptCall } from '../lua-scripts.ts';
import { ACCOUNT_FIELDS, type DirectoryCodec, type RecordCodec } from './record-codec.ts';
import type { SealedField } from './token-cipher.ts';

interface Codecs {
  readonly keys: Keys;
  readonly records: RecordCodec;
  readonly directory: DirectoryCodec;
}

/** The sealed fields of an account's hash: its records and its directory entry. */
export function sealedFieldsOf(
  { keys, records, directory }: Codecs,
  account: AccountId,
  fields: Readonly<Record<string, Buffer>>,
): SealedField[] {
  const key = keys.account(account);
  return Object.entries(fields).flatMap(([field, bytes]) => {
    if (field === ACCOUNT_FIELDS.directory) return directory.sealedField(bytes, key);
    if (field.length !== DIGEST_LENGTH) return [];
    return records.sealedField(bytes, (account + field) as SubjectId, key) ?? [];
  });
}

/** The script call that puts `resealed` in the place of the sealed text, unless the field has changed. It returns 1 then. */
export function resealScript({ key, field, headLength, sealed }: SealedField, resealed: Buffer): ScriptCall {
  return ['resealField', [key], [field, headLength, sealed, resealed]];
}
