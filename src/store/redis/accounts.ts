import { type ErrorCode, isErrorCode } from '../../token/errors.ts';
import type { KnownAccount, Lease, SessionsEnd, StoredAccount } from '../../token/ports.ts';
import { MAX_COOL_DOWN_MS } from '../../token/renewal-timing.ts';
import {
  type AccountId,
  accountId,
  accountOf,
  DIGEST_LENGTH,
  type SubjectId,
  withAccessId,
} from '../../token/subject.ts';
import { resealScript } from './lua-scripts.ts';
import { ACCOUNT_FIELDS, type DirectoryEntry, instantOf } from './records/record-codec.ts';
import type { StoreContext } from './store-context.ts';

/** Over 1,000 terminals and {@link ACCOUNT_FIELDS}. Anyone with access to Redis may add more; `find` gets some then. */
const MAX_FIELDS = 1_024;

/** How long an end of all sessions is remembered. It must be longer than any session lives. */
const SESSIONS_END_MS = 400 * 86_400_000;

/** The error code of a cool-down. Anyone who can write to Redis can write any text. */
export function failureCodeOf(stored: string): ErrorCode {
  return isErrorCode(stored) ? stored : 'vendor_unavailable';
}

/** Accounts with their terminals, and their accessIds, which outlive the tokens. */
export function redisAccounts({ redis, keys, records, directory, clock, log, changes }: StoreContext) {
  return { find, identify, lookUp, remember, erase, logOut, repeatEnd };

  async function find(unionId: string): Promise<StoredAccount> {
    const account = accountId(unionId);
    const key = keys.account(account);
    const [answer, coolDown] = await Promise.all([
      redis.command<(Buffer | Buffer[])[]>('hrandfield', key, MAX_FIELDS, 'WITHVALUES'),
      coolDownOf(account),
    ]);
    // Pairs with RESP 3, in turn with RESP 2.
    const namesAndValues = answer.flat();
    const fields: Record<string, Buffer> = {};
    for (let at = 0; at < namesAndValues.length; at += 2)
      fields[String(namesAndValues[at])] = namesAndValues[at + 1] as Buffer;
    const entry = directory.decode(fields[ACCOUNT_FIELDS.directory], key);
    const region = fields[ACCOUNT_FIELDS.region]?.toString();
    const unexpired = Object.entries(fields)
      .filter(([field]) => field.length === DIGEST_LENGTH)
      .map(([field, bytes]) => records.decode(bytes, (account + field) as SubjectId, key))
      .filter((record) => record !== undefined && record.token.expiresAt > clock.now());
    const erasedAt = instantOf(fields[ACCOUNT_FIELDS.erasedAt]);
    const loggedOutAt = instantOf(fields[ACCOUNT_FIELDS.loggedOutAt]);
    const identity = entry && region !== undefined ? { accessId: entry.accessIds[0], region } : undefined;
    return { identity, records: unexpired as StoredAccount['records'], coolDown, erasedAt, loggedOutAt };
  }

  async function identify(unionId: string): Promise<KnownAccount | undefined> {
    const account = accountId(unionId);
    const key = keys.account(account);
    const fields = [ACCOUNT_FIELDS.directory, ACCOUNT_FIELDS.region, ACCOUNT_FIELDS.erasedAt];
    const [sealed, country, erasedAt] = await redis.command<(Buffer | null)[]>('hmget', key, ...fields);
    const accessId = directory.decode(sealed, key)?.accessIds[0];
    const region = country?.toString();
    if (accessId === undefined || region === undefined) return undefined;
    const isStored = await storePointer(accessId, account, instantOf(erasedAt) ?? 0);
    return isStored ? { accessId, region } : undefined;
  }

  async function lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const found = await Promise.all(accessIds.map((accessId) => unionIdOf(accessId)));
    return new Map(found.flatMap((unionId, at) => (unionId === undefined ? [] : [[accessIds[at] ?? '', unionId]])));
  }

  /**
   * Adds the accessId to its account's directory entry, and stores its pointer. The next renewal tries again if it
   * fails.
   * @param previous the directory entry that the account had before the token was saved, and still has; empty for none
   */
  async function remember(saved: Pick<Lease, 'id' | 'generation'>, entry: DirectoryEntry, previous: Buffer) {
    const account = accountOf(saved.id);
    const [accessId] = entry.accessIds;
    try {
      // An erasure finds the pointers by the entry, so the entry comes first.
      if (previous.length > 0) await list(saved.id, entry, previous);
      await storePointer(accessId, account, saved.generation - 1);
    } catch (error) {
      log.warn({ subject: saved.id, err: error }, 'the accessId of an account could not be stored for look-ups');
    }
  }

  /** Puts the accessId in front of those that the stored entry has. Other replicas may replace the entry too. */
  async function list(subject: SubjectId, { unionId, accessIds: [accessId] }: DirectoryEntry, previous: Buffer) {
    const key = keys.account(accountOf(subject));
    let stored: Buffer | null = previous;
    // No entry: the account was erased.
    while (stored) {
      const known: readonly string[] = directory.decode(stored, key)?.accessIds ?? [];
      if (known[0] === accessId && directory.isCurrent(stored)) return;
      const accessIds = withAccessId(known, accessId);
      const field = directory.sealedField(stored, key);
      const replacement = directory.encode({ unionId, accessIds }, key);
      if ((await redis.script(...resealScript(field, replacement))) === 1) {
        if (known.length > 0 && !known.includes(accessId))
          log.warn({ subject }, 'the vendor gave the account another accessId; both can be looked up');
        for (const dropped of known.filter((one) => !accessIds.includes(one))) await forget(dropped);
        return;
      }
      stored = await redis.command<Buffer | null>('hget', key, ACCOUNT_FIELDS.directory);
    }
  }

  /** Stores an accessId's pointer. @returns `false` if the account was erased later than `erasedUntil` (epoch ms) */
  async function storePointer(accessId: string, account: AccountId, erasedUntil: number): Promise<boolean> {
    const [pointer, key] = [keys.accessId(accessId), keys.account(account)];
    if (String(await redis.command('get', pointer)) === account) return true;
    await redis.command('set', pointer, account);
    // An erasure stores its time before it deletes the pointers.
    const erasedAt = await redis.command<Buffer | null>('hget', key, ACCOUNT_FIELDS.erasedAt);
    if ((instantOf(erasedAt) ?? 0) <= erasedUntil) return true;
    await forget(accessId);
    return false;
  }

  async function erase(unionId: string): Promise<number> {
    return Number(await endSessions(accountId(unionId), 'erased', ''));
  }

  async function logOut(unionId: string): Promise<number> {
    return Number(await endSessions(accountId(unionId), 'loggedout', ''));
  }

  async function repeatEnd(account: AccountId, how: SessionsEnd, generation: number): Promise<void> {
    await endSessions(account, how, generation);
  }

  /** @returns the time of the end; `undefined` if a repeated one was not lost */
  async function endSessions(account: AccountId, how: SessionsEnd, repeated: number | ''): Promise<string | undefined> {
    const key = keys.account(account);
    const scriptKeys = [key, keys.dueOf(account), keys.fences(account), keys.changesOf(account)];
    const args = [how, account, SESSIONS_END_MS, keys.announcements, repeated];
    const answer = (await redis.script('endSessions', scriptKeys, args)) as Buffer[] | null;
    if (!answer) return undefined;
    const [instant, sealed, change] = answer;
    changes.note(account, String(change));
    const entry = directory.decode(sealed, key);
    // The entry is deleted last: after a failure in between, another erasure still finds the pointers.
    for (const accessId of entry?.accessIds ?? []) await forget(accessId);
    if (sealed?.length) await redis.script('forgetDirectory', [key], []);
    return String(instant);
  }

  async function coolDownOf(account: AccountId): Promise<StoredAccount['coolDown']> {
    const key = keys.failures(account);
    const [until, code] = await redis.command<(Buffer | null)[]>('hmget', key, 'until', 'code');
    const restMs = Number(until) - clock.now();
    if (!(restMs > 0 && restMs <= MAX_COOL_DOWN_MS)) return undefined;
    return { until: Math.round(Number(until)), code: failureCodeOf(String(code)) };
  }

  async function unionIdOf(accessId: string): Promise<string | undefined> {
    const account = await redis.command<Buffer | null>('get', keys.accessId(accessId));
    if (account === null) return undefined;
    const key = keys.account(String(account) as AccountId);
    const sealed = await redis.command<Buffer | null>('hget', key, ACCOUNT_FIELDS.directory);
    const entry = directory.decode(sealed, key);
    return entry?.accessIds.includes(accessId) ? entry.unionId : undefined;
  }

  async function forget(accessId: string): Promise<void> {
    await redis.command('del', keys.accessId(accessId));
  }
}
