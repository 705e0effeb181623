import { randomUUID } from 'node:crypto';
import type { ErrorCode } from '../../token/errors.ts';
import type { Lease, LeaseAnswer, SaveOutcome, StoredTerminal, TerminalStore } from '../../token/ports.ts';
import { coolsDown } from '../../token/renewal-timing.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { accountOf, type SubjectId, subjectId, terminalOf } from '../../token/subject.ts';
import type { RedisAccounts } from './accounts.ts';
import { ACCOUNT_FIELDS } from './keys.ts';
import { instantOf, type RedisParts, readRecord } from './records/stored-records.ts';

/** Terminals in Redis: their records, and the leases under which these come to be. */
export class RedisTerminals implements TerminalStore {
  readonly #parts: RedisParts;
  readonly #accounts: RedisAccounts;
  readonly #perAccount: number;

  constructor(parts: RedisParts, accounts: RedisAccounts, perAccount: number) {
    this.#parts = parts;
    this.#accounts = accounts;
    this.#perAccount = perAccount;
  }

  async read(id: SubjectId): Promise<StoredTerminal> {
    const { redis, keys } = this.#parts;
    const key = keys.account(accountOf(id));
    const fields = [terminalOf(id), ACCOUNT_FIELDS.erasedAt];
    const [record, erasedAt] = await redis.run(key, (client) => client.hmgetBuffer(key, ...fields));
    return { record: readRecord(this.#parts, record, id, key), erasedAt: instantOf(erasedAt) };
  }

  async acquire(id: SubjectId, durationMs: number): Promise<LeaseAnswer> {
    const ownerId = randomUUID();
    const { redis, keys } = this.#parts;
    const args = [ownerId, durationMs, terminalOf(id), id, this.#perAccount];
    const answer = await redis.script('acquire', this.#keysOf(id), args);
    const [kind, value, record, region, erasedAt] = answer as [Buffer, number | Buffer, ...(Buffer | null)[]];
    switch (kind.toString()) {
      case 'held':
        return { kind: 'held', heldForMs: Number(value) };
      case 'terminal_limit':
        return { kind: 'terminal_limit' };
      case 'cooling':
        return { kind: 'cooling', forMs: Number(value), code: String(record) as ErrorCode };
      default: {
        const lease = { id, ownerId, generation: Number(value), durationMs };
        const current = readRecord(this.#parts, record, id, keys.account(accountOf(id)));
        return { kind: 'granted', lease, current, region: region?.toString(), erasedAt: instantOf(erasedAt) };
      }
    }
  }

  async extend(leases: readonly Lease[]): Promise<readonly Lease[]> {
    const { redis, keys } = this.#parts;
    const shards = new Map<string, Lease[]>();
    for (const lease of leases) {
      const due = keys.dueOf(accountOf(lease.id));
      shards.set(due, [...(shards.get(due) ?? []), lease]);
    }
    const answers = await Promise.all(
      [...shards].map(async ([due, held]) => {
        const leaseKeys = held.map(({ id }) => keys.lease(id));
        const args = held.flatMap(({ ownerId, durationMs, id }) => [ownerId, durationMs, id]);
        const extended = (await redis.script('extend', [due, ...leaseKeys], args)) as number[];
        return held.filter((_, index) => extended[index] !== 1);
      }),
    );
    return answers.flat();
  }

  save(lease: Lease, record: TokenRecord, dueAt: number): Promise<SaveOutcome> {
    return this.#write(lease, record, dueAt);
  }

  async restore(record: TokenRecord, dueAt: number): Promise<'saved' | 'outdated'> {
    const lease = { id: subjectId(record.subject), ownerId: '', generation: record.generation };
    return (await this.#write(lease, record, dueAt)) === 'saved' ? 'saved' : 'outdated';
  }

  async #write(lease: Omit<Lease, 'durationMs'>, record: TokenRecord, dueAt: number): Promise<SaveOutcome> {
    const { id, ownerId, generation } = lease;
    const { redis, keys, records, directory } = this.#parts;
    const account = keys.account(accountOf(id));
    const entry = { unionId: record.subject.unionId, accessId: record.token.fields['accessId'] ?? '' };
    const answer = await redis.script('save', this.#keysOf(id), [
      ownerId,
      generation,
      terminalOf(id),
      id,
      records.encode(record, id, account),
      this.#msUntil(dueAt),
      keys.announcements,
      this.#perAccount,
      record.region,
      directory.encode(entry, account),
    ]);
    const [outcome, previous] = answer as [Buffer, Buffer | null];
    if (outcome.toString() === 'saved') {
      await this.#accounts.remember(id, generation, entry.accessId, previous);
    }
    return outcome.toString() as SaveOutcome;
  }

  async release({ id, ownerId, generation }: Lease, dueAt: number | undefined, failure?: ErrorCode): Promise<void> {
    const { redis, keys } = this.#parts;
    const announcement = failure ? `failed ${id} ${generation} ${failure}` : '';
    await redis.script(
      'release',
      [keys.lease(id), keys.dueOf(accountOf(id)), keys.failures(id)],
      [
        ownerId,
        id,
        dueAt === undefined ? '' : this.#msUntil(dueAt),
        keys.announcements,
        announcement,
        failure && coolsDown(failure) ? failure : '',
      ],
    );
  }

  async remove(id: SubjectId): Promise<number> {
    const { redis, keys } = this.#parts;
    const kept = this.#keysOf(id).slice(1, 4);
    return Number(await redis.script('remove', kept, [terminalOf(id), id, keys.announcements]));
  }

  async markRead(id: SubjectId, generation: number): Promise<boolean> {
    const { redis, keys } = this.#parts;
    return (await redis.script('markRead', [keys.account(accountOf(id))], [terminalOf(id), generation])) === 1;
  }

  /** Redis gets durations instead of instants, because its clock may differ from ours. */
  #msUntil(instant: number): number {
    return Math.max(1, Math.round(instant - this.#parts.clock.now()));
  }

  /** What the scripts about one subject take: lease, fence, account, due, failures. */
  #keysOf(id: SubjectId): string[] {
    const { keys } = this.#parts;
    const account = accountOf(id);
    return [keys.lease(id), keys.fence(id), keys.account(account), keys.dueOf(account), keys.failures(id)];
  }
}
