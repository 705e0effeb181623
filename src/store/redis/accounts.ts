import { type ErrorCode, isErrorCode } from '../../token/errors.ts';
import type { AccountHistory, AccountStore, Lease, StoredAccount } from '../../token/ports.ts';
import { MAX_COOL_DOWN_MS } from '../../token/renewal-timing.ts';
import { type AccountId, accountId, accountOf, DIGEST_LENGTH, type SubjectId } from '../../token/subject.ts';
import { ACCOUNT_FIELDS, type DirectoryEntry, instantOf } from './records/record-codec.ts';
import { sealedFieldsOf } from './records/resealing.ts';
import type { StoreContext } from './store-context.ts';

/** How long an erasure is remembered. It must be longer than any session lives. */
const ERASURE_MS = 400 * 86_400_000;

/** The error code of a cool-down. Anyone who can write to Redis can write any text. */
export function failureCodeOf(stored: string): ErrorCode {
  return isErrorCode(stored) ? stored : 'vendor_unavailable';
}

/** Accounts with their terminals, and their accessIds, which outlive the tokens. */
export class RedisAccounts implements AccountStore {
  readonly #context: StoreContext;

  constructor(context: StoreContext) {
    this.#context = context;
  }

  async find(unionId: string): Promise<StoredAccount | undefined> {
    const { redis, keys, records, directory, resealing, clock } = this.#context;
    const account = accountId(unionId);
    const key = keys.account(account);
    const [fields, coolDown] = await Promise.all([
      redis.run(key, (client) => client.hgetallBuffer(key)),
      this.#coolDownOf(account),
    ]);
    for (const field of sealedFieldsOf(this.#context, account, fields)) resealing.start(field);
    const entry = directory.decode(fields[ACCOUNT_FIELDS.directory], key);
    const region = fields[ACCOUNT_FIELDS.region]?.toString();
    if (!entry || region === undefined) return undefined;
    const unexpired = Object.entries(fields)
      .filter(([field]) => field.length === DIGEST_LENGTH)
      .map(([field, bytes]) => records.decode(bytes, (account + field) as SubjectId, key))
      .filter((record) => record !== undefined && record.token.expiresAt > clock.now());
    const erasedAt = instantOf(fields[ACCOUNT_FIELDS.erasedAt]);
    return { accessId: entry.accessId, region, records: unexpired as StoredAccount['records'], coolDown, erasedAt };
  }

  async historyOf(unionId: string): Promise<AccountHistory> {
    const { redis, keys } = this.#context;
    const account = accountId(unionId);
    const key = keys.account(account);
    const [erasedAt, coolDown] = await Promise.all([
      redis.run(key, (client) => client.hgetBuffer(key, ACCOUNT_FIELDS.erasedAt)),
      this.#coolDownOf(account),
    ]);
    return { coolDown, erasedAt: instantOf(erasedAt) };
  }

  async lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const found = await Promise.all(accessIds.map((accessId) => this.#entryOf(accessId)));
    return new Map(found.flatMap((entry) => (entry ? [[entry.accessId, entry.unionId]] : [])));
  }

  /**
   * Stores the pointer from an accessId to its account, for {@link lookUp}, unless it is stored already or the account
   * was erased after the token was saved. When this fails, the next renewal tries again.
   * @param previous the directory entry that the account had before
   */
  async remember(saved: Pick<Lease, 'id' | 'generation'>, accessId: string, previous: Buffer | null): Promise<void> {
    const { redis, keys, directory, log } = this.#context;
    const account = accountOf(saved.id);
    const [pointer, key] = [keys.accessId(accessId), keys.account(account)];
    try {
      if ((await redis.run(pointer, (client) => client.get(pointer))) === account) return;
      await redis.run(pointer, (client) => client.set(pointer, account));
      // An erasure stores its time before it deletes the pointer.
      const erasedAt = await redis.run(key, (client) => client.hget(key, ACCOUNT_FIELDS.erasedAt));
      if (Number(erasedAt) >= saved.generation) await this.#forget(accessId);
      const before = directory.decode(previous, key);
      if (!before || before.accessId === accessId) return;
      log.warn({ subject: saved.id }, 'the vendor gave the account another accessId; the newest is kept');
      await this.#forget(before.accessId);
    } catch (error) {
      log.warn({ subject: saved.id, err: error }, 'the accessId of an account could not be stored for look-ups');
    }
  }

  async erase(unionId: string): Promise<number> {
    const { redis, keys, directory } = this.#context;
    const account = accountId(unionId);
    const key = keys.account(account);
    const args = [account, ERASURE_MS, keys.announcements];
    const answer = await redis.script('erase', [key, keys.dueOf(account), keys.fences(account)], args);
    const [instant, sealed] = answer as [Buffer, Buffer | null];
    const entry = directory.decode(sealed, key);
    // The entry is deleted last: after a failure in between, another erasure still finds the pointer.
    if (entry) await this.#forget(entry.accessId);
    if (sealed) await redis.script('forgetDirectory', [key], []);
    return Number(instant);
  }

  async #coolDownOf(account: AccountId): Promise<AccountHistory['coolDown']> {
    const { redis, keys, clock } = this.#context;
    const key = keys.failures(account);
    const [until, code] = await redis.run(key, (client) => client.hmget(key, 'until', 'code'));
    const restMs = Number(until) - clock.now();
    if (!(restMs > 0 && restMs <= MAX_COOL_DOWN_MS)) return undefined;
    return { until: Math.round(Number(until)), code: failureCodeOf(String(code)) };
  }

  async #entryOf(accessId: string): Promise<DirectoryEntry | undefined> {
    const { redis, keys, directory, resealing } = this.#context;
    const pointer = keys.accessId(accessId);
    const account = await redis.run(pointer, (client) => client.get(pointer));
    if (account === null) return undefined;
    const key = keys.account(account as AccountId);
    const sealed = await redis.run(key, (client) => client.hgetBuffer(key, ACCOUNT_FIELDS.directory));
    if (sealed) resealing.start(directory.sealedField(sealed, key));
    const entry = directory.decode(sealed, key);
    return entry?.accessId === accessId ? entry : undefined;
  }

  async #forget(accessId: string): Promise<void> {
    const { redis, keys } = this.#context;
    const pointer = keys.accessId(accessId);
    await redis.run(pointer, (client) => client.del(pointer));
  }
}
