import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, inject, test } from 'vitest';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { ErrorCode } from '../../src/token/errors.ts';
import type { Announcement, Lease, TokenStore } from '../../src/token/ports.ts';
import { LEASE_MS } from '../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import { accountId, accountOf, type Subject, subjectId } from '../../src/token/subject.ts';
import { eventually } from '../support/eventually.ts';
import { openRedisStore, PATIENT } from '../support/filled-store.ts';

const TERMINALS = 2;
/** Longer than a run. */
const LONG_MS = 60_000;
/** Longer than a run, and no longer than the longest lease. */
const LONG_LEASE_MS = 2 * LEASE_MS;
/** Over before the next command: after a command that starts such a time, the test waits for its end. */
const SHORT_MS = 4;

/** Numbers choose a subject, a lease or a record: modulo the number that exist. */
type Command =
  | { readonly kind: 'acquire' | 'claim'; readonly subject: number; readonly endsAtOnce: boolean }
  | {
      readonly kind: 'save' | 'restore';
      readonly lease: number;
      readonly dueNow: boolean;
      readonly expiresAtOnce: boolean;
      /** Whether the vendor answered after the last lease of the subject was granted. */
      readonly answeredLate: boolean;
      /** Whether it is another token than that of the same lease without this mark. */
      readonly other: boolean;
    }
  | {
      readonly kind: 'release';
      readonly lease: number;
      readonly dueNow: boolean | undefined;
      readonly code?: ErrorCode;
    }
  | { readonly kind: 'extend' | 'saveAccessId' | 'repeatRemoval'; readonly lease: number }
  | { readonly kind: 'markRead'; readonly lease: number; readonly dueNow: boolean }
  | { readonly kind: 'remove' | 'erase'; readonly subject: number };

type Write = Extract<Command, { readonly kind: 'save' | 'restore' }>;

interface GrantedLease {
  readonly lease: Lease;
  readonly subject: Subject;
}

const number = fc.nat({ max: 11 });
const commands = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom('acquire' as const, 'claim' as const),
        subject: number,
        endsAtOnce: fc.boolean(),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constantFrom('save' as const, 'save' as const, 'restore' as const),
        lease: number,
        dueNow: fc.boolean(),
        expiresAtOnce: fc.nat({ max: 3 }).map((one) => one === 0),
        answeredLate: fc.boolean(),
        other: fc.nat({ max: 3 }).map((one) => one === 0),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record(
        {
          kind: fc.constant('release' as const),
          lease: number,
          dueNow: fc.option(fc.boolean(), { nil: undefined }),
          code: fc.constantFrom<ErrorCode>('vendor_unavailable', 'vendor_timeout', 'vendor_rejected', 'vendor_busy'),
        },
        { requiredKeys: ['kind', 'lease', 'dueNow'] },
      ),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constantFrom('extend' as const, 'saveAccessId' as const, 'repeatRemoval' as const),
        lease: number,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('markRead' as const), lease: number, dueNow: fc.boolean() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom('remove' as const, 'erase' as const), subject: number }),
    },
  ),
  { minLength: 5, maxLength: 40, size: 'max' },
);

/** One store, with the leases it granted and everything it said. */
class Run {
  readonly #store: TokenStore;
  readonly #subjects: readonly Subject[];
  /** The name of each generation and erasure: the command that made it. */
  readonly #names = new Map<string, string>();
  readonly #leases: GrantedLease[] = [];
  readonly announced: Announcement[] = [];
  #step = 0;

  constructor(store: TokenStore, subjects: readonly Subject[]) {
    this.#store = store;
    this.#subjects = subjects;
    store.announcements.subscribe((announcement) => void this.announced.push(announcement));
  }

  /**
   * The announcements, without the numbers that differ between stores. Announcements of one subject keep their order.
   */
  announcements(): string[] {
    return this.announced.map(({ generation, ...rest }) =>
      JSON.stringify({ ...rest, generation: this.#name('id' in rest ? rest.id : rest.account, generation) }),
    );
  }

  /** Runs the command in this store. @returns its answer, without the numbers that differ between stores */
  async run(command: Command, at: number): Promise<unknown> {
    this.#step += 1;
    const { terminals, accounts, dueQueue } = this.#store;
    if ('subject' in command) {
      const subject = this.#subjects[command.subject % this.#subjects.length] as Subject;
      const durationMs = 'endsAtOnce' in command && command.endsAtOnce ? SHORT_MS : LONG_LEASE_MS;
      switch (command.kind) {
        case 'acquire': {
          const answer = await terminals.acquire(subjectId(subject), durationMs);
          if (answer.kind !== 'granted') return { kind: answer.kind, code: 'code' in answer && answer.code };
          const { lease, current, region, erasedAt, endedRead } = answer;
          return {
            lease: this.#granted(lease, subject),
            current: this.#shown(current),
            region,
            erasedAt: this.#name(accountId(subject.unionId), erasedAt),
            endedRead,
          };
        }
        case 'claim': {
          const { ids, backlog } = await dueQueue.claim(100);
          return { ids: ids.toSorted(), backlog };
        }
        case 'remove':
          return this.#name(subjectId(subject), await terminals.remove(subjectId(subject)));
        default:
          return this.#name(accountId(subject.unionId), await accounts.erase(subject.unionId));
      }
    }
    const chosen = this.#leases[command.lease % Math.max(1, this.#leases.length)];
    if (!chosen) return undefined;
    const { lease, subject } = chosen;
    const dueAt = 'dueNow' in command && command.dueNow ? at : at + LONG_MS;
    switch (command.kind) {
      case 'save':
        return terminals.save(lease, this.#recordOf(chosen, at, command), dueAt);
      case 'restore':
        return terminals.restore(this.#recordOf(chosen, at, command), dueAt);
      case 'repeatRemoval':
        return terminals.repeatRemoval(lease.id, lease.generation);
      case 'release':
        return terminals.release(
          lease,
          command.dueNow === undefined ? undefined : dueAt,
          command.code && { code: command.code },
        );
      case 'saveAccessId': {
        const { unionId } = subject;
        return terminals.saveAccessId(lease, { unionId, accessId: accessIdOf(unionId), region: 'FR' });
      }
      case 'extend':
        return this.#extend(this.#leases.slice(command.lease).map((one) => one.lease));
      default:
        return terminals.markRead(lease.id, lease.generation, dueAt);
    }
  }

  #recordOf({ lease, subject }: GrantedLease, at: number, command: Write): TokenRecord {
    const granted = this.#leases.filter((one) => one.lease.id === lease.id).map((one) => one.lease.generation);
    const answeredAt = command.answeredLate ? Math.max(...granted) : lease.generation;
    return { ...recordOf(subject, lease.generation, at, command), answeredAt };
  }

  async #extend(leases: readonly Lease[]): Promise<unknown> {
    const lost = await this.#store.terminals.extend(leases);
    return lost.map(({ id, generation }) => `${id} ${this.#name(id, generation)}`).toSorted();
  }

  /** Everything that the store says about each subject and account. */
  async state(): Promise<unknown> {
    const { terminals, accounts } = this.#store;
    const unionIds = [...new Set(this.#subjects.map(({ unionId }) => unionId))];
    const stored = await Promise.all(this.#subjects.map((subject) => terminals.read(subjectId(subject))));
    const found = await Promise.all(unionIds.map((unionId) => accounts.find(unionId)));
    const known = await accounts.lookUp(unionIds.map(accessIdOf).flatMap((one) => [one, `${one}1`]));
    return {
      stored: stored.map(({ record, erasedAt }, index) => ({
        record: this.#shown(record),
        erasedAt: erasedAt && this.#name(accountOf(subjectId(this.#subjects[index] as Subject)), erasedAt),
      })),
      found: found.map((account, index) => ({
        ...account,
        // Each store counts the end by its own clock. The contract of the stores has tests of the length.
        coolDown: account.coolDown?.code,
        erasedAt: account.erasedAt && this.#name(accountId(unionIds[index] ?? ''), account.erasedAt),
        records: account.records.map((record) => this.#shown(record)?.generation).toSorted(),
      })),
      known: [...known].toSorted(),
    };
  }

  #granted(lease: Lease, subject: Subject): string {
    this.#leases.push({ lease, subject });
    return `${this.#leases.length}: ${this.#name(lease.id, lease.generation)}`;
  }

  #name(of: string, generation: number | undefined): string | undefined {
    if (generation === undefined) return undefined;
    const key = `${of} ${generation}`;
    const name = this.#names.get(key) ?? `of command ${this.#step}`;
    this.#names.set(key, name);
    return name;
  }

  #shown(record: TokenRecord | undefined) {
    return (
      record && {
        ...record,
        generation: this.#name(subjectId(record.subject), record.generation),
        answeredAt: this.#name(subjectId(record.subject), record.answeredAt),
        token: record.token.fields['accessToken'],
      }
    );
  }
}

function accessIdOf(unionId: string): string {
  return `-${Buffer.from(unionId).readUIntBE(0, 3)}`;
}

function recordOf(subject: Subject, generation: number, at: number, { expiresAtOnce, other }: Write): TokenRecord {
  const expiresAt = at + (expiresAtOnce ? SHORT_MS : LONG_MS);
  const fields = {
    // The tv has an app of its own, for which the vendor gives another accessId.
    accessId: accessIdOf(subject.unionId) + (subject.uniqueId === 'tv' ? '1' : ''),
    accessToken: `${subject.unionId}/${subject.uniqueId}${other ? ' (other)' : ''}`,
    expireTime: String(Math.floor(expiresAt / 1_000)),
    terminalId: '1',
    expand: '',
    expend: '',
  };
  const region = subject.uniqueId === 'phone' ? 'CN' : 'DE';
  const token = { fields, issuedAt: at, expiresAt };
  const flags = { read: false, unreadRenewals: 0, suspect: false };
  return { subject, region, token, generation, answeredAt: generation, ...flags };
}

/** Whether the next command must wait until something has ended or is due: in Redis, 1 ms later at the earliest. */
function mustWait(command: Command): boolean {
  return (
    ('endsAtOnce' in command && command.endsAtOnce) ||
    ('expiresAtOnce' in command && command.expiresAtOnce) ||
    ('dueNow' in command && command.dueNow === true)
  );
}

async function compare(redis: TokenStore, sequence: readonly Command[]): Promise<void> {
  const memory = createMemoryStore({ clock: systemClock, terminalsPerAccount: TERMINALS });
  const subjects = ['ann', 'ben'].flatMap((unionId) =>
    ['phone', 'tablet', 'tv'].map((uniqueId) => ({ app: 'default', unionId, uniqueId })),
  );
  const runs = { redis: new Run(redis, subjects), memory: new Run(memory, subjects) };
  for (const command of sequence) {
    const at = systemClock.now();
    const inRedis = await runs.redis.run(command, at);
    expect(inRedis, JSON.stringify(command)).toEqual(await runs.memory.run(command, at));
    if (mustWait(command)) await sleep(2 * SHORT_MS);
    expect(await runs.redis.state(), `after ${JSON.stringify(command)}`).toEqual(await runs.memory.state());
  }
  await eventually(() => runs.redis.announced.length >= runs.memory.announced.length, { everyMs: 2 });
  expect(runs.redis.announcements()).toEqual(runs.memory.announcements());
}

test('the Redis store and the memory store answer every sequence of commands alike', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const redis = await openRedisStore(inject('redisUrl'), `test-${randomUUID()}`, [], {
        ...PATIENT,
        terminalsPerAccount: TERMINALS,
      });
      try {
        await eventually(() => redis.announcements.completeSince() !== undefined, { everyMs: 2 });
        await compare(redis, sequence);
      } finally {
        await redis.close();
      }
    }),
    { numRuns: 40 },
  );
}, 600_000);
