import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { sleep } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { type Subject, type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const PHONE: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const TABLET: Subject = { ...PHONE, uniqueId: 'tablet' };

/**
 * A replica with a token of both terminals, at a vendor that has closed the account since. The store removes after 50
 * ms.
 */
async function createReplica(remove: (id: SubjectId) => Promise<void> = async () => undefined) {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const { logger: log, lines } = captureLog('warn');
  const parts = brokerParts({ clock, store, log });
  for (const subject of [PHONE, TABLET]) {
    const reading = parts.broker.read({ subject, region: 'CN', sessionIssuedAt: clock.now() });
    await pass(0);
    await reading;
  }
  const { terminals } = store;
  const removeAtOnce = terminals.remove.bind(terminals);
  terminals.remove = async (id) => {
    await sleep(clock, 50);
    await remove(id);
    return removeAtOnce(id);
  };
  parts.vendor.failure = new BrokerError('account_disabled');
  const stored = async (subject: Subject) => (await terminals.read(subjectId(subject))).record;
  return { ...parts, pass, lines, stored };
}

describe('a login that shows that the vendor has closed the account', () => {
  test('ends when the tokens of the other terminals are removed too', async () => {
    const { renewInBackground, pass, stored } = await createReplica();
    const ended = renewInBackground(subjectId(PHONE)).catch(async ({ code }: BrokerError) => {
      return { code, phone: await stored(PHONE), tablet: await stored(TABLET) };
    });
    await pass(1_000);
    expect(await ended).toEqual({ code: 'account_disabled', phone: undefined, tablet: undefined });
  });

  test('logs a warning if the token of another terminal cannot be removed', async () => {
    const { renewInBackground, pass, lines, stored } = await createReplica(async (id) => {
      if (id === subjectId(TABLET)) throw new BrokerError('store_unavailable');
    });
    const ended = renewInBackground(subjectId(PHONE)).catch(({ code }: BrokerError) => code);
    await pass(1_000);
    expect(await ended).toBe('account_disabled');
    expect(await stored(PHONE)).toBeUndefined();
    expect(lines()).toMatchObject([{ msg: 'a token that the vendor has ended could not be removed from the store' }]);
  });
});
