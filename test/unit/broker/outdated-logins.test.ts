import { describe, expect, test, vi } from 'vitest';
import { accessIdTerminal } from '../../../src/broker/access-ids.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { sleep } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { VendorLogin } from '../../../src/token/ports.ts';
import { accountId, subjectId } from '../../../src/token/subject.ts';
import { brokerParts, PHONE } from '../../support/broker-parts.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

/** A login waits for so long before it is sent. */
const QUEUE_MS = 1_000;

/** Two replicas with one store. A login waits for its turn at the first one. */
function createReplicas<Vendor extends VendorLogin>(
  vendor: (clock: ReturnType<typeof virtualClock>['clock']) => Vendor,
) {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const giveBack = vi.spyOn(store.rateLimiter, 'giveBack');
  const parts = { clock, store, vendor: vendor(clock), perHour: 60 };
  const replicas = [brokerParts(parts), brokerParts(parts)] as const;
  /** Asks replica `at` for a token, or for the accessId of the account. @returns `ok`, or the code of the error */
  const ask = (what: 'token' | 'accessId' = 'token', at: 0 | 1 = 0) => {
    const { broker, accessIds } = replicas[at];
    if (what === 'token') return codeOf(broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now() }));
    return codeOf(accessIds.obtain({ ...PHONE, uniqueId: accessIdTerminal(PHONE.unionId) }, 'CN'));
  };
  const remove = async (kind: 'logout' | 'erasure', replica: 0 | 1): Promise<void> => {
    const { accounts } = replicas[replica];
    if (kind === 'logout') await accounts.logOut(PHONE, 'operator');
    else await accounts.erase(PHONE.unionId);
  };
  return { clock, pass, store, giveBack, vendor: parts.vendor, replicas, ask, remove };
}

const codeOf = (answer: Promise<unknown>) =>
  answer.then(
    () => 'ok',
    (error: BrokerError) => error.code,
  );

function queueing(clock: ReturnType<typeof virtualClock>['clock']): ScriptedLogin {
  return Object.assign(new ScriptedLogin(clock), { queueMs: QUEUE_MS });
}

describe('a login that still waits for its turn is not sent after', () => {
  test.each([
    ['token', 'logout', 0, 'session_forbidden'],
    ['token', 'logout', 1, 'session_forbidden'],
    ['token', 'erasure', 0, 'session_invalid'],
    ['token', 'erasure', 1, 'session_invalid'],
    ['accessId', 'erasure', 1, 'not_found'],
  ] as const)('it was asked for the %s: %s at replica %i, and counts against no limit', async (...one) => {
    const [what, kind, replica, code] = one;
    const { pass, vendor, giveBack, ask, remove } = createReplicas(queueing);
    const answer = ask(what);
    await pass(QUEUE_MS / 2);
    await remove(kind, replica);
    await pass(QUEUE_MS);
    expect(await answer).toBe(code);
    expect(vendor.requests).toHaveLength(1);
    expect(vendor.sent).toBe(0);
    expect(giveBack).toHaveBeenCalledTimes(1);
  });

  test('an erasure that is later than each lease of its accessId, because the clock of the store was set back', async () => {
    const { pass, clock, vendor, replicas, ask } = createReplicas(queueing);
    replicas[0].cache.erased(accountId(PHONE.unionId), clock.now() + 3_600_000);
    const answer = ask('accessId');
    await pass(QUEUE_MS);
    expect(await answer).toBe('not_found');
    expect(vendor.requests).toHaveLength(0);
  });

  test('a logout during an outage of the store, that this replica has heard of before', async () => {
    const { pass, vendor, giveBack, store, replicas, ask, clock } = createReplicas(queueing);
    store.terminals.acquire = () => Promise.reject(new BrokerError('store_unavailable'));
    const answer = ask();
    await pass(QUEUE_MS / 2);
    replicas[0].cache.loggedOut(subjectId(PHONE), clock.now() + QUEUE_MS);
    await pass(QUEUE_MS);
    expect(await answer).toBe('session_forbidden');
    expect(vendor.sent).toBe(0);
    expect(giveBack).not.toHaveBeenCalled();
  });
});

test('a background renewal that is not sent gives back no permit, because it took none', async () => {
  const { pass, vendor, giveBack, replicas, ask, remove } = createReplicas(queueing);
  void ask();
  await pass(2 * QUEUE_MS);
  const renewing = codeOf(replicas[0].renewInBackground(subjectId(PHONE)));
  await pass(QUEUE_MS / 2);
  await remove('logout', 1);
  await pass(QUEUE_MS);
  expect(await renewing).toBe('session_forbidden');
  expect(vendor.sent).toBe(1);
  expect(giveBack).not.toHaveBeenCalled();
});

test('a login whose first attempt has failed is not sent again after an erasure, and counts', async () => {
  let attempts = 0;
  const { pass, giveBack, ask, remove } = createReplicas((clock) => ({
    async login({ mayBeSent }) {
      for (let attempt = 0; attempt < 2; attempt += 1) {
        if (mayBeSent?.() === false) break;
        attempts += 1;
        await sleep(clock, QUEUE_MS);
      }
      throw new BrokerError('vendor_timeout');
    },
  }));
  const answer = ask();
  await pass(QUEUE_MS / 2);
  await remove('erasure', 1);
  await pass(2 * QUEUE_MS);
  expect(await answer).toBe('session_invalid');
  expect(attempts).toBe(1);
  expect(giveBack).not.toHaveBeenCalled();
});

test.each([
  ['token', 'logout', 'session_forbidden'],
  ['token', 'erasure', 'session_invalid'],
  ['accessId', 'erasure', 'not_found'],
] as const)(
  'a question for the %s at another replica after the %s waits for the end of that login, and logs in',
  async (...one) => {
    const [what, kind, code] = one;
    const { pass, vendor, ask, remove } = createReplicas(queueing);
    const ended = ask(what);
    await pass(QUEUE_MS / 2);
    await remove(kind, 1);
    await pass(1);
    const later = ask(what, 1);
    await pass(3 * QUEUE_MS);
    expect([await ended, await later]).toEqual([code, 'ok']);
    expect(vendor.sent).toBe(1);
  },
);
