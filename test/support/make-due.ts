import type { TokenStore } from '../../src/token/ports.ts';
import type { SubjectId } from '../../src/token/subject.ts';
import { takeLease } from './due-claims.ts';

/** Makes the stored token of a subject due at `now`. Take `now` from the store's clock. */
export async function makeDue(store: TokenStore, id: SubjectId, now: number): Promise<void> {
  await store.terminals.release(await takeLease(store, id, 1_000), now);
}
