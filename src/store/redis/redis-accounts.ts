import type { StoredAccount } from '../../token/ports.ts';
import { accountId, accountOf, DIGEST_LENGTH, type SubjectId } from '../../token/subject.ts';
import type { DirectoryEntry } from './directory-codec.ts';
import { ACCOUNT_FIELDS } from './keys.ts';
import type { RedisParts } from './redis-parts.ts';
import { sealedTextsOf } from './sealed-texts.ts';

/** How long an erasure is remembered: longer than any session lives. */
const ERASURE_MS = 400 * 86_400_000;

/** Accounts in Redis: their terminals, and the directory of accessIds that outlives tokens. */
export class RedisAccounts {
  readonly #parts: RedisParts;

  constructor(parts: RedisParts) {
    this.#parts = parts;
  }

  /** An account's directory entry, as it is stored at `key`. */
  seal(entry: DirectoryEntry, key: string): Buffer {
    return this.#parts.directory.encode(entry, key);
  }

  async find(unionId: string): Promise<StoredAccount | undefined> {
    const { redis, keys, records, directory, resealing, clock } = this.#parts;
    const account = accountId(unionId);
    const key = keys.account(account);
    const fields = await redis.run(key, (client) => client.hgetallBuffer(key));
    for (const text of sealedTextsOf(this.#parts, account, fields)) resealing.later(text);
    const entry = directory.decode(fields[ACCOUNT_FIELDS.directory], key);
    const region = fields[ACCOUNT_FIELDS.region]?.toString();
    if (!entry || region === undefined) return undefined;
    const living = Object.entries(fields)
      .filter(([field]) => field.length === DIGEST_LENGTH)
      .map(([field, bytes]) => records.decode(bytes, (account + field) as SubjectId, key))
      .filter((record) => record !== undefined && record.token.expiresAt > clock.now());
    return { accessId: entry.accessId, region, records: living as StoredAccount['records'] };
  }

  async lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const found = await Promise.all(accessIds.map((accessId) => this.#entryAt(this.#parts.keys.accessId(accessId))));
    return new Map(found.flatMap((entry) => (entry ? [[entry.accessId, entry.unionId]] : [])));
  }

  /** Whether {@link lookUp} finds the entry; `false` also where Redis cannot be asked. */
  async isKept({ accessId, unionId }: DirectoryEntry): Promise<boolean> {
    const found = await this.#entryAt(this.#parts.keys.accessId(accessId)).catch(() => undefined);
    return found?.unionId === unionId;
  }

  /**
   * Keeps the accessId of an account for {@link lookUp}, unless the account was erased since `generation`. If
   * Redis fails in between, the account's next login makes good for it.
   * @param previous the sealed entry the account had so far
   * @param isKept what {@link isKept} says: nothing is left to do where the account has kept its accessId
   */
  async remember(
    id: SubjectId,
    generation: number,
    entry: DirectoryEntry,
    previous: Buffer | null,
    isKept: boolean,
  ): Promise<void> {
    const { redis, keys, directory, log } = this.#parts;
    const key = keys.accessId(entry.accessId);
    const account = keys.account(accountOf(id));
    const before = directory.decode(previous, account);
    if (isKept && before?.accessId === entry.accessId) return;
    try {
      await redis.run(key, (client) => client.set(key, directory.encode(entry, key)));
      const erasedAt = await redis.run(account, (client) => client.hget(account, ACCOUNT_FIELDS.erasedAt));
      if (Number(erasedAt ?? 0) >= generation) await this.#forget(entry.accessId);
      if (!before || before.accessId === entry.accessId) return;
      log.warn({ subject: id }, 'the vendor gave the account another accessId; the newest is kept');
      await this.#forget(before.accessId);
    } catch (error) {
      log.warn({ subject: id, err: error }, 'the accessId of an account could not be kept for look-ups');
    }
  }

  async erase(unionId: string): Promise<number> {
    const { redis, keys, directory } = this.#parts;
    const account = accountId(unionId);
    const key = keys.account(account);
    const args = [account, ERASURE_MS, keys.announcements];
    const answer = await redis.script('erase', [key, keys.dueOf(account)], args);
    const [instant, sealed] = answer as [Buffer, Buffer | null];
    const entry = directory.decode(sealed, key);
    // The entry goes last: if this is cut off, the next erasure finds what is left.
    if (entry) await this.#forget(entry.accessId);
    if (sealed) await redis.script('forgetDirectory', [key], []);
    return Number(instant);
  }

  async #entryAt(key: string): Promise<DirectoryEntry | undefined> {
    const { redis, directory, resealing } = this.#parts;
    const sealed = await redis.run(key, (client) => client.getBuffer(key));
    if (sealed) resealing.later(directory.sealedText(sealed, key));
    return directory.decode(sealed, key);
  }

  async #forget(accessId: string): Promise<void> {
    const { redis, keys } = this.#parts;
    const key = keys.accessId(accessId);
    await redis.run(key, (client) => client.del(key));
  }
}
