import { randomUUID } from 'node:crypto';
import type { Lease, RestoreOutcome, SaveOutcome, StoredTerminal, TerminalStore } from '../../token/ports.ts';
import { coolsDown, MAX_COOL_DOWN_MS } from '../../token/renewal-timing.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { accountOf, type SubjectId, subjectId, terminalOf } from '../../token/subject.ts';
import { failureCodeOf, type redisAccounts } from './accounts.ts';
import { failureText } from './announcements.ts';
import { ACCOUNT_FIELDS, type DirectoryEntry, instantOf, regionOf } from './records/record-codec.ts';
import type { StoreContext } from './store-context.ts';

type AcquireResult = readonly [kind: Buffer, value: number, ...details: (Buffer | null)[]];

const UNREADABLE =
  'no key of TOKEN_ENCRYPTION_KEYS decrypts a stored token, so it counts as missing: compare the keys of all ' +
  'replicas, docs/key-rotation.md#what-no-key-opens';

/** The records of terminals, and the leases to renew them. */
export function redisTerminals(
  { redis, keys, changes, terminalsPerAccount, records, directory, log, clock }: StoreContext,
  accounts: Pick<ReturnType<typeof redisAccounts>, 'remember'>,
): TerminalStore {
  return {
    async read(id) {
      const key = keys.account(accountOf(id));
      const fields = [terminalOf(id), ACCOUNT_FIELDS.erasedAt, ACCOUNT_FIELDS.loggedOutAt];
      const [bytes, erasedAt, loggedOutAt] = await redis.command<(Buffer | null)[]>('hmget', key, ...fields);
      const ends = { erasedAt: instantOf(erasedAt), loggedOutAt: instantOf(loggedOutAt) };
      return { ...recordIn(bytes, id, key), ...ends };
    },

    async markRead(id, generation, dueAt) {
      const account = accountOf(id);
      const args = [terminalOf(id), generation, id, msUntil(dueAt)];
      await redis.script('markRead', [keys.account(account), keys.dueOf(account)], args);
    },

    async acquire(id, durationMs) {
      const ownerId = randomUUID();
      const args = [ownerId, durationMs, terminalOf(id), id, terminalsPerAccount];
      const answer = (await redis.script('acquire', keysOf(id), args)) as AcquireResult;
      const [kind, value, ...details] = answer;
      const endedRead = value === 1;
      switch (kind.toString()) {
        case 'held':
          return { kind: 'held', heldForMs: value };
        case 'terminal_limit':
          return { kind: 'terminal_limit', endedRead };
        case 'cooling':
          return { kind: 'cooling', forMs: value, code: failureCodeOf(String(details[0])) };
        default: {
          const [generation, bytes, region, ended] = details;
          const lease = { id, ownerId, generation: Number(generation), durationMs };
          const { record: current } = recordIn(bytes, id, keys.account(accountOf(id)));
          const sessionsEndedAt = instantOf(ended);
          return { kind: 'granted', lease, current, region: regionOf(region), sessionsEndedAt, endedRead };
        }
      }
    },

    async extend(leases) {
      const shards = new Map<string, Lease[]>();
      for (const lease of leases) {
        const due = keys.dueOf(accountOf(lease.id));
        shards.set(due, [...(shards.get(due) ?? []), lease]);
      }
      const lost = [...shards].map(async ([due, held]) => {
        const leaseKeys = held.map(({ id }) => keys.lease(id));
        const args = held.flatMap(({ ownerId, durationMs, id }) => [ownerId, durationMs, id]);
        const extended = (await redis.script('extend', [due, ...leaseKeys], args)) as number[];
        return held.filter((_, index) => extended[index] !== 1);
      });
      return (await Promise.all(lost)).flat();
    },

    save(lease, record, dueAt) {
      return write(lease, record, dueAt, '');
    },

    async restore(record, dueAt, sessionIssuedAt) {
      const lease = { id: subjectId(record.subject), ownerId: '', generation: record.generation };
      return (await write(lease, record, dueAt, sessionIssuedAt ?? '')) as RestoreOutcome;
    },

    async drop(record) {
      const id = subjectId(record.subject);
      await write({ id, ownerId: '', generation: record.generation }, record, 0, '', true);
    },

    clockFor(id) {
      return redis.now(keys.account(accountOf(id)));
    },

    async saveAccessId(lease, { unionId, accessId, region }) {
      const { id, ownerId, generation } = lease;
      const account = accountOf(id);
      const key = keys.account(account);
      const entry: DirectoryEntry = { unionId, accessIds: [accessId] };
      const [, previous] = (await redis.script(
        'saveAccessId',
        [keys.lease(id), key, keys.failures(account)],
        [ownerId, generation, region, directory.encode(entry, key)],
      )) as [outcome: Buffer, previous?: Buffer];
      if (!previous) return 'outdated';
      await accounts.remember(lease, entry, previous);
      return 'saved';
    },

    async release({ id, ownerId, generation }, dueAt, failure) {
      const account = accountOf(id);
      await redis.script(
        'release',
        [keys.lease(id), keys.dueOf(account), keys.failures(account)],
        [
          ownerId,
          id,
          dueAt === undefined ? '' : msUntil(dueAt),
          keys.announcements,
          failure ? `failed ${id} ${generation} ${failureText(failure)}` : '',
          failure && coolsDown(failure.code) ? failure.code : '',
          Math.min(failure?.waitMs ?? 0, MAX_COOL_DOWN_MS),
        ],
      );
    },

    remove(id, sessionIssuedAt) {
      return removeUpTo(id, sessionIssuedAt ?? '', '');
    },

    async repeatRemoval(id, generation) {
      await removeUpTo(id, '', generation);
    },
  };

  async function removeUpTo(
    id: SubjectId,
    sessionIssuedAt: number | '',
    repeated: number | '',
  ): Promise<number | undefined> {
    const account = accountOf(id);
    const scriptKeys = [keys.fences(account), keys.account(account), keys.dueOf(account), keys.changesOf(account)];
    const args = [terminalOf(id), id, keys.announcements, terminalsPerAccount, sessionIssuedAt, repeated];
    const removed = (await redis.script('remove', scriptKeys, args)) as [outdated: Buffer, change: Buffer] | null;
    if (!removed) return undefined;
    const [outdated, change] = removed;
    changes.note(account, String(change));
    return Number(outdated);
  }

  async function write(
    lease: Omit<Lease, 'durationMs'>,
    record: TokenRecord,
    dueAt: number,
    sessionIssuedAt: number | '',
    isDropped = false,
  ): Promise<SaveOutcome> {
    const { id, ownerId, generation } = lease;
    const account = accountOf(id);
    const key = keys.account(account);
    const { unionId } = record.subject;
    const entry: DirectoryEntry = { unionId, accessIds: [record.token.fields['accessId'] ?? ''] };
    const answer = await redis.script(
      'save',
      [...keysOf(id), keys.changesOf(account)],
      [
        ownerId,
        generation,
        terminalOf(id),
        id,
        isDropped ? records.headerOf(record) : records.encode(record, id, key),
        msUntil(dueAt),
        keys.announcements,
        terminalsPerAccount,
        record.region,
        directory.encode(entry, key),
        sessionIssuedAt,
      ],
    );
    const [outcome, previous, change] = answer as [outcome: Buffer, previous?: Buffer, change?: Buffer];
    if (previous) {
      changes.note(account, String(change));
      await accounts.remember(lease, entry, previous);
    }
    return outcome.toString() as SaveOutcome;
  }

  /** A record that no key opens counts as missing: if its key is lost, it must cost no more than a login. */
  function recordIn(bytes: Buffer | null | undefined, id: SubjectId, key: string): Omit<StoredTerminal, 'erasedAt'> {
    const record = records.decode(bytes, id, key);
    const unreadable = bytes && !record ? records.unreadable(bytes, id, key) : undefined;
    if (unreadable) log.warn({ subject: id, reason: unreadable.reason }, UNREADABLE);
    return { record, unreadable: unreadable?.generation };
  }

  /** Redis gets durations, as its clock may differ. Rounded up: a subject claimed before it is due is not renewed. */
  function msUntil(instant: number): number {
    return Math.max(1, Math.ceil(instant - clock.now()));
  }

  /** The keys of `acquire`, with which those of `save` begin. */
  function keysOf(id: SubjectId): string[] {
    const account = accountOf(id);
    return [keys.lease(id), keys.fences(account), keys.account(account), keys.dueOf(account), keys.failures(account)];
  }
}
