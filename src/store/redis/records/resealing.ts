import { type AccountId, DIGEST_LENGTH, type SubjectId } from '../../../token/subject.ts';
import type { RedisCommands } from '../connection/commands.ts';
import type { Keys } from '../keys.ts';
import type { ScriptCall } from '../lua-scripts.ts';
import { ACCOUNT_FIELDS, type DirectoryCodec, type RecordCodec } from './record-codec.ts';
import type { SealedField, TokenCipher } from './token-cipher.ts';

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

const MAX_IN_PROGRESS = 64;

/** Re-encrypts under the current key what was read and is sealed under an older one. */
export class Resealing {
  readonly #redis: RedisCommands;
  readonly #cipher: TokenCipher;
  #inProgress = 0;

  constructor(redis: RedisCommands, cipher: TokenCipher) {
    this.#redis = redis;
    this.#cipher = cipher;
  }

  /** Starts in the background. A text that fails, or that exceeds the limit, is tried again at its next read. */
  start(field: SealedField | undefined): void {
    if (!field || this.#cipher.isCurrent(field.sealed) || this.#inProgress >= MAX_IN_PROGRESS) return;
    const resealed = this.#cipher.reseal(field);
    if (!resealed) return;
    this.#inProgress += 1;
    this.#redis
      .script(...resealScript(field, resealed))
      .catch(() => undefined)
      .finally(() => {
        this.#inProgress -= 1;
      });
  }
}
