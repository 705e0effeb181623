import type { TokenStore } from '../../src/token/ports.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openBrokerStore } from './broker-store.ts';
import { type BenchSubject, randomToken } from './subjects.ts';

const AT_ONCE = 250;

/** Puts a token for each subject into Redis as the broker would, not due for long and read before. */
export async function fillBrokerStore(url: string, subjects: readonly BenchSubject[]): Promise<void> {
  const store = await openBrokerStore(url);
  for (let at = 0; at < subjects.length; at += AT_ONCE) {
    await Promise.all(subjects.slice(at, at + AT_ONCE).map((subject) => eventually(() => restore(store, subject))));
  }
  await store.close();
}

async function restore(store: TokenStore, { unionId, uniqueId }: BenchSubject): Promise<void> {
  const token = randomToken();
  const record = {
    subject: { app: 'default', unionId, uniqueId },
    region: 'DE',
    token,
    generation: token.issuedAt,
    read: true,
    unreadRenewals: 0,
  };
  const outcome = await store.terminals.restore(record, token.issuedAt + 0.8 * (token.expiresAt - token.issuedAt));
  if (outcome !== 'saved') throw new Error(`a token of the bench was not stored: ${outcome}`);
}
