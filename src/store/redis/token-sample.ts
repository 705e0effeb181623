import { accountOf, isSubjectId, type SubjectId, terminalOf } from '../../token/subject.ts';
import type { RedisClient } from './connection/clients.ts';
import { type Keys, SHARDS } from './keys.ts';
import { RecordCodec } from './records/record-codec.ts';
import { isKeyId, keyIdOf, type SealedField, type TokenCipher } from './records/token-cipher.ts';

/** Numbers of stored tokens, among a few that were looked at. */
export interface TokenSample {
  readonly lookedAt: number;
  /** Not encrypted, although there are encryption keys. */
  readonly inTheClear: number;
  /** Encrypted, but no key decrypts them. */
  readonly unreadable: number;
  /** The ids of the keys that encrypted the unreadable ones, as far as they can be read. */
  readonly keyIds: readonly string[];
}

/** In each shard, so many tokens that are due first, and so many that are due last: in general old and new ones. */
const SAMPLED_AT_EACH_END = 2;

/** Looks at a few stored tokens, as far as Redis answers. Never throws. */
export async function sampleTokens(redis: RedisClient, keys: Keys, cipher: TokenCipher): Promise<TokenSample> {
  const records = new RecordCodec(cipher);
  const shards = Array.from({ length: SHARDS }, (_, shard) => sampledFields(redis, keys, shard, records));
  const fields = (await Promise.all(shards)).flat();
  const closed = fields.filter(({ sealed, additionalData }) => !cipher.open(sealed, additionalData));
  const ids = closed.map(({ sealed }) => keyIdOf(sealed)).filter((id) => id !== undefined);
  return {
    lookedAt: fields.length,
    inTheClear: closed.length - ids.length,
    unreadable: ids.length,
    keyIds: [...new Set(ids)].filter(isKeyId).sort(),
  };
}

/** Anyone who can write to Redis can write any entry or value there, which then counts as none. */
async function sampledFields(
  redis: RedisClient,
  keys: Keys,
  shard: number,
  records: RecordCodec,
): Promise<SealedField[]> {
  const due = keys.due(shard);
  const ends = [redis.zrange(due, 0, String(SAMPLED_AT_EACH_END - 1)), redis.zrange(due, -SAMPLED_AT_EACH_END, '-1')];
  const entries = await Promise.all(ends.map((end) => end.catch(() => [])));
  const ids = [...new Set(entries.flat() as SubjectId[])].filter(isSubjectId);
  const fields = ids.map(async (id) => {
    const key = keys.account(accountOf(id));
    const bytes = await redis.hgetBuffer(key, terminalOf(id)).catch(() => null);
    return bytes ? (records.sealedField(bytes, id, key) ?? []) : [];
  });
  return (await Promise.all(fields)).flat();
}
