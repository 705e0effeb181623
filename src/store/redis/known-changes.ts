import type { AccountId } from '../../token/subject.ts';
import type { Keys } from './keys.ts';

/** How the scripts name a change: the id of the change before it, '' for none, and its own id. */
const CHANGE = /^(\d+-\d+)?\/(\d+-\d+)$/;

/**
 * The last change of each shard that this replica knows of: the id of its entry in the stream of changes. A Redis that
 * does not have the entry any more has lost data: it has started from an older snapshot, or a failover has lost writes.
 */
export class KnownChanges {
  readonly #keys: Keys;
  readonly #last = new Map<number, string>();

  constructor(keys: Keys) {
    this.#keys = keys;
  }

  /** '' for none. */
  lastOf(shard: number): string {
    return this.#last.get(shard) ?? '';
  }

  /**
   * Notes a change that Redis confirmed or announced, if it directly follows the known one. Otherwise Redis may have
   * lost that, and the next heartbeat must still compare it.
   * @param change see {@link CHANGE}; any other text is none
   */
  note(account: AccountId, change: string): void {
    const [, previous = '', id] = CHANGE.exec(change) ?? [];
    const shard = this.#keys.changesShardOf(account);
    if (id !== undefined && previous === this.lastOf(shard)) this.#last.set(shard, id);
  }

  /**
   * Takes the id of the last change that Redis has, after Redis has compared the one that was known. '' for none.
   * @returns `false` if another one is known by now: then the comparison says nothing
   */
  compared(shard: number, known: string, id: string): boolean {
    if (this.lastOf(shard) !== known) return false;
    this.#last.set(shard, id);
    return true;
  }
}
