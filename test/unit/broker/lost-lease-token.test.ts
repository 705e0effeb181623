import { expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { SaveOutcome } from '../../../src/token/ports.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { accessTokenOf } from '../../support/served-token.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/**
 * A replica with a token in memory, which an app then reports as refused. The store answers the write of the
 * replacement that the lease was lost.
 * @param onLoss called when the store has answered so
 */
async function reportWithLostLease(onLoss: (parts: ReturnType<typeof createReplica>) => void) {
  const parts = createReplica();
  const { store, broker, clock, pass, tokenInMemory } = parts;
  const read = async (refused?: string) => {
    const reading = broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: clock.now(), refused });
    const answer = reading.then(accessTokenOf, ({ code }: BrokerError) => code);
    await pass(1_000);
    return answer;
  };
  expect(await read()).toBe('token-1');
  const etag = parts.cache.tokens.find(ID)?.etag;
  const { terminals } = store;
  const save = terminals.save.bind(terminals);
  terminals.save = async (lease): Promise<SaveOutcome> => {
    terminals.save = save;
    await terminals.release(lease, undefined);
    onLoss(parts);
    return 'lease_lost';
  };
  return { answer: await read(etag), tokenInMemory };
}

function createReplica() {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const watched = watchedStore(store);
  const parts = brokerParts({ clock, store: watched.store });
  const tokenInMemory = () => {
    const known = parts.cache.tokens.find(ID);
    return known && accessTokenOf(known);
  };
  return { ...parts, store, watched, clock, pass, tokenInMemory };
}

test('the token of a login whose lease was lost is given to no app: the next login brings one', async () => {
  const { answer, tokenInMemory } = await reportWithLostLease(() => undefined);
  expect(answer).toBe('token-3');
  expect(tokenInMemory()).toBe('token-3');
});

test('the token of a login whose lease was lost is not in memory either, when the next login fails', async () => {
  const { answer, tokenInMemory } = await reportWithLostLease(({ vendor }) => {
    vendor.failure = new BrokerError('vendor_rejected');
  });
  expect(answer).toBe('vendor_rejected');
  expect(tokenInMemory()).toBe('token-1');
});

test('a login whose lease was lost is followed by another one, although the store can read no token', async () => {
  const { answer } = await reportWithLostLease(({ watched }) => void watched.down.add('read'));
  expect(answer).toBe('token-3');
});
