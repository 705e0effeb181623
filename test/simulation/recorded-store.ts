import type { Announcement } from '../../src/token/ports.ts';
import {
  type AccountId,
  accountId,
  isSubjectId,
  type Subject,
  type SubjectId,
  subjectId,
} from '../../src/token/subject.ts';
import type { Exchange, Recorder, StoreRecording, Terminal } from '../judge/recording.ts';
import type { ExecutedCommand, StoreServer } from './store-server.ts';

/** Notes what the server of the store executes, and what each replica is told of it. */
export class RecordedStore {
  readonly #recorder: Recorder;
  readonly #server: StoreServer;
  readonly #store: StoreRecording;
  readonly #note: (line: string) => void;
  /** What the ids of the broker stand for. */
  readonly #subjects = new Map<SubjectId, Terminal>();
  readonly #accounts = new Map<AccountId, string>();
  readonly #heardAt = new WeakMap<Announcement, Map<number, number>>();

  constructor(recorder: Recorder, server: StoreServer, note: (line: string) => void) {
    if (!recorder.store) throw new TypeError('the recorder does not see the store');
    this.#recorder = recorder;
    this.#server = server;
    this.#store = recorder.store;
    this.#note = note;
    server.onCommand((command) => this.#onCommand(command));
    server.onAnnouncement((announcement) => {
      this.#heardAt.set(announcement, new Map());
      void this.#count();
    });
  }

  add({ unionId, uniqueId, ...subject }: Subject): SubjectId {
    const id = subjectId({ unionId, uniqueId, ...subject });
    this.#subjects.set(id, { account: unionId, uniqueId });
    this.#accounts.set(accountId(unionId), unionId);
    return id;
  }

  /** An announcement has reached a replica. */
  heard(announcement: Announcement, replica: number): void {
    this.#heardAt.get(announcement)?.set(replica, this.#recorder.now());
  }

  #onCommand({ name, args, result, announced, replica, sentAt }: ExecutedCommand): void {
    for (const announcement of announced) {
      const { kind } = announcement;
      if (kind === 'saved') this.#wrote('saved', announcement, replica, accessTokenIn(args));
      if (kind !== 'removed' && kind !== 'erased') continue;
      this.#wrote('removed', announcement, replica);
      // The replicas know of a repeated one, or do not.
      if (!name.startsWith('repeat')) this.#removed(announcement, replica, sentAt);
    }
    const [lease] = args as readonly [{ readonly id: SubjectId }];
    if (name !== 'saveAccessId' || result !== 'saved') return;
    this.#store.writes.push({
      at: this.#recorder.now(),
      replica,
      kind: 'accessId',
      ...this.#placeOf(lease.id),
      heardAt: new Map(),
    });
  }

  #wrote(kind: 'saved' | 'removed', announcement: Announcement, replica: number, token?: string): void {
    const heardAt = this.#heardAt.get(announcement) ?? new Map();
    const place = this.#placeOf('id' in announcement ? announcement.id : announcement.account);
    this.#store.writes.push({ at: this.#recorder.now(), replica, kind, ...place, token, heardAt });
    this.#note(`${Object.values(place).join('/')}: ${kind} by replica ${replica} ${token ?? ''}`);
  }

  /** Notes the execution at the request that asked for it. */
  #removed(announcement: Announcement, replica: number, sentAt: number): void {
    const place = this.#placeOf('id' in announcement ? announcement.id : announcement.account);
    // The broker logs out the terminals of an account that the vendor has closed: no request asked for that.
    const asked = this.#recorder.exchanges.filter(
      (one) =>
        one.kind === (place.uniqueId === undefined ? 'erasure' : 'logout') &&
        one.account === place.account &&
        one.uniqueId === place.uniqueId &&
        one.replica === replica &&
        one.executedAt === undefined &&
        one.sentAt <= sentAt &&
        one.endedAt >= sentAt,
    );
    // If two ran when it was sent, it is of the one that still runs.
    const removal: Exchange | undefined = asked.find(({ endedAt }) => endedAt === Number.POSITIVE_INFINITY) ?? asked[0];
    if (!removal) return;
    removal.executedAt = this.#recorder.now();
    removal.heardAt = this.#heardAt.get(announcement) ?? new Map();
  }

  #placeOf(id: SubjectId | AccountId): { readonly account: string; readonly uniqueId?: string } {
    return (isSubjectId(id) && this.#subjects.get(id)) || { account: this.#accounts.get(id as AccountId) ?? id };
  }

  get #ids(): SubjectId[] {
    return [...this.#subjects.keys()];
  }

  /** Counts after each change, so that one difference cannot hide another. */
  async #count(): Promise<void> {
    const { scheduled, stored } = await this.#server.count(this.#ids);
    this.#store.counts.push({ at: this.#recorder.now(), tokens: stored, dueTimes: scheduled });
  }

  /** Notes which tokens the store has now. */
  async look(): Promise<void> {
    for (const [id, terminal] of this.#subjects) {
      const { record } = await this.#server.data.terminals.read(id);
      const token = record?.token.fields['accessToken'];
      if (token !== undefined) this.#store.looks.push({ ...terminal, at: this.#recorder.now(), token });
    }
  }

  /** Notes the leases that are left. It ends the others, so it is for the end of a run. */
  async lookForLeases(): Promise<void> {
    for (const id of await this.#server.leased(this.#ids))
      this.remains(`the lease of ${this.#subjects.get(id)?.uniqueId}`);
  }

  remains(what: string): void {
    this.#store.remains.push({ at: this.#recorder.now(), what });
  }
}

/** The token that a command writes. */
function accessTokenIn(args: readonly unknown[]): string | undefined {
  for (const argument of args) {
    const { token } = (argument ?? {}) as { readonly token?: { readonly fields: Readonly<Record<string, string>> } };
    if (token) return token.fields['accessToken'];
  }
  return undefined;
}
