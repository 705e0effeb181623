import type { TokenStore } from '../../src/token/ports.ts';
import type { SubjectId } from '../../src/token/subject.ts';

/** Has what is stored of a subject be due at `now`, by whose clock the store goes. */
export async function makeDue(store: TokenStore, id: SubjectId, now: number): Promise<void> {
  const answer = await store.terminals.acquire(id, 1_000);
  if (answer.kind !== 'granted') throw new Error(`no lease: ${answer.kind}`);
  await store.terminals.release(answer.lease, now);
}
