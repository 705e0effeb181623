import { describe, expect, test } from 'vitest';
import { sleep } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { type Subject, type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { PHONE, PHONE_ID, SILENCE, tokenOrCode, virtualReplica } from '../../support/broker-parts.ts';

const TABLET: Subject = { ...PHONE, uniqueId: 'tablet' };
const OF_BOB: Subject = { ...PHONE, unionId: 'bob' };

/**
 * A replica that hears no announcement, with a token of two terminals and of another account. The vendor has closed the
 * account since. The store removes after 50 ms.
 */
async function createReplica(remove: (id: SubjectId) => Promise<void> = async () => undefined) {
  const replica = virtualReplica({ parts: { announcements: SILENCE } });
  const { clock, pass, memory, vendor, answerAfter } = replica;
  for (const subject of [PHONE, TABLET, OF_BOB]) await answerAfter(0, { subject });
  const { terminals } = memory;
  const removeAtOnce = terminals.remove.bind(terminals);
  terminals.remove = async (id) => {
    await sleep(clock, 50);
    await remove(id);
    return removeAtOnce(id);
  };
  vendor.failure = new BrokerError('account_disabled');
  /** Renews the token of the phone. @returns the error, and who has a token in the store and in memory at its end */
  const afterLogin = async () => {
    const ended = replica.renewInBackground(PHONE_ID).catch(async ({ code }: BrokerError) => {
      const ids = [PHONE, TABLET, OF_BOB].map(subjectId);
      const records = await Promise.all(ids.map((id) => replica.stored(id)));
      const stored = records.flatMap((record) => (record ? [record.subject] : []));
      return { code, stored, inMemory: ids.map((id) => replica.cache.tokens.find(id) !== undefined) };
    });
    await pass(1_000);
    return ended;
  };
  return { ...replica, afterLogin };
}

describe('a login that shows that the vendor has closed the account', () => {
  test('ends when the tokens of all its terminals are gone, from the store and from memory', async () => {
    const { afterLogin } = await createReplica();
    expect(await afterLogin()).toEqual({
      code: 'account_disabled',
      stored: [OF_BOB],
      inMemory: [false, false, true],
    });
  });

  test('logs a warning if the token of another terminal cannot be removed', async () => {
    const { afterLogin, lines } = await createReplica(async (id) => {
      if (id === subjectId(TABLET)) throw new BrokerError('store_unavailable');
    });
    expect(await afterLogin()).toMatchObject({ code: 'account_disabled', stored: [TABLET, OF_BOB] });
    expect(lines()).toMatchObject([{ msg: 'a token that the vendor has ended could not be removed from the store' }]);
  });

  test('without the store refuses the read, and memory forgets the token', async () => {
    const { pass, watched, cache, read } = await createReplica();
    for (const method of ['read', 'acquire'] as const) watched.down.add(method);
    await pass(54_000);
    const answer = tokenOrCode(read());
    await pass(0);
    expect(await answer).toBe('account_disabled');
    expect(cache.tokens.find(PHONE_ID)).toBeUndefined();
  });
});
