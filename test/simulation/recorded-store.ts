import { readAnnouncement } from '../../src/store/redis/announcements.ts';
import { RecordCodec } from '../../src/store/redis/records/record-codec.ts';
import { TokenCipher } from '../../src/store/redis/records/token-cipher.ts';
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
import type { ExecutedCall, Message, RedisCall, StoreServer } from './store-server.ts';

interface Place {
  readonly account: string;
  readonly uniqueId?: string;
}

/** The requests whose execution is announced. */
const ACTS: Readonly<Partial<Record<Announcement['kind'], Exchange['kind']>>> = {
  removed: 'logout',
  erased: 'erasure',
  loggedout: 'accountLogout',
};

const records = new RecordCodec(new TokenCipher([]));

/** Notes what the server of the store executes, and what each replica is told of it. */
export class RecordedStore {
  readonly #recorder: Recorder;
  readonly #server: StoreServer;
  readonly #store: StoreRecording;
  readonly #note: (line: string) => void;
  /** The names behind the ids of the broker. */
  readonly #subjects = new Map<SubjectId, Terminal>();
  readonly #accounts = new Map<AccountId, string>();
  readonly #heardAt = new WeakMap<Message, Map<number, number>>();

  constructor(recorder: Recorder, server: StoreServer, note: (line: string) => void) {
    if (!recorder.store) throw new TypeError('the recorder does not see the store');
    this.#recorder = recorder;
    this.#server = server;
    this.#store = recorder.store;
    this.#note = note;
    server.onCall((call) => this.#onCall(call));
  }

  add({ unionId, uniqueId, ...subject }: Subject): SubjectId {
    const id = subjectId({ unionId, uniqueId, ...subject });
    this.#subjects.set(id, { account: unionId, uniqueId });
    this.#accounts.set(accountId(unionId), unionId);
    return id;
  }

  /** An announcement has reached a replica. */
  heard(message: Message, replica: number): void {
    this.#heardAt.get(message)?.set(replica, this.#recorder.now());
  }

  #onCall({ call, answer, published, replica, sentAt }: ExecutedCall): void {
    if (!('script' in call)) return;
    const { script, keys, args } = call;
    for (const message of published) {
      const announcement = readAnnouncement(message.text, Number.POSITIVE_INFINITY);
      if (!announcement) continue;
      const { kind } = announcement;
      const heardAt = new Map<number, number>();
      this.#heardAt.set(message, heardAt);
      const place = this.#placeOf('id' in announcement ? announcement.id : announcement.account);
      if (kind === 'saved') this.#wrote('saved', place, heardAt, replica, accessTokenIn(call));
      const act = ACTS[kind];
      if (!act) continue;
      this.#wrote('removed', place, heardAt, replica);
      // The replicas know of a repeated one, or do not.
      const repeated = script === 'remove' ? args[5] : args[4];
      if (repeated === '') this.#removed(act, place, heardAt, replica, sentAt);
    }
    if (published.length > 0) this.#count();
    const [outcome] = Array.isArray(answer) ? answer : [];
    if (script !== 'saveAccessId' || String(outcome) !== 'saved') return;
    const id = String(keys[0]).split(':').at(-1) as SubjectId;
    this.#store.writes.push({
      at: this.#recorder.now(),
      replica,
      kind: 'accessId',
      ...this.#placeOf(id),
      heardAt: new Map(),
    });
  }

  #wrote(kind: 'saved' | 'removed', place: Place, heardAt: Map<number, number>, replica: number, token?: string): void {
    this.#store.writes.push({ at: this.#recorder.now(), replica, kind, ...place, token, heardAt });
    this.#note(`${Object.values(place).join('/')}: ${kind} by replica ${replica} ${token ?? ''}`);
  }

  /** Notes the execution at the request that asked for it. */
  #removed(act: Exchange['kind'], place: Place, heardAt: Map<number, number>, replica: number, sentAt: number): void {
    // The broker logs out the terminals of an account that the vendor has closed: no request asked for that.
    const asked = this.#recorder.exchanges.filter(
      (one) =>
        one.kind === act &&
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
    removal.heardAt = heardAt;
  }

  #placeOf(id: SubjectId | AccountId): Place {
    return (isSubjectId(id) && this.#subjects.get(id)) || { account: this.#accounts.get(id as AccountId) ?? id };
  }

  get #ids(): SubjectId[] {
    return [...this.#subjects.keys()];
  }

  /** Counts after each change, so that one difference cannot hide another. */
  #count(): void {
    const { scheduled, stored } = this.#server.count(this.#ids);
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

  /** Notes the leases that are left. */
  lookForLeases(): void {
    for (const id of this.#server.leased(this.#ids)) this.remains(`the lease of ${this.#subjects.get(id)?.uniqueId}`);
  }

  remains(what: string): void {
    this.#store.remains.push({ at: this.#recorder.now(), what });
  }
}

/** The token that `save` writes. */
function accessTokenIn({ keys, args }: Extract<RedisCall, { readonly script: string }>): string | undefined {
  const [id, bytes, account] = [args[3] as SubjectId, args[4] as Buffer, String(keys[2])];
  return records.decode(bytes, id, account)?.token.fields['accessToken'];
}
