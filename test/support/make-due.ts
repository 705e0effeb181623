import type { TokenStore } from '../../src/token/ports.ts';
import type { SubjectId } from '../../src/token/subject.ts';

/** Makes the stored token of a subject due at `now`. Take `now` from the store's clock. */
export async function makeDue(store: TokenStore, id: SubjectId, now: number): Promise<void> {
  const answer = await store.terminals.acquire(id, 1_000);
  if (answer.kind !== 'granted') throw new Error(`the lease was not granted: ${answer.kind}`);
  await store.terminals.release(answer.lease, now);
}
