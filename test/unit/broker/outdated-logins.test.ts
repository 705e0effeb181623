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
  const sessionIssuedAt = clock.now();
  const read = () => codeOf(replicas[0].broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt }));
  const remove = async (kind: 'logout' | 'erasure', replica: 0 | 1): Promise<void> => {
    const { accounts } = replicas[replica];
    if (kind === 'logout') await accounts.logOut(PHONE, 'operator');
    else await accounts.erase(PHONE.unionId);
  };
  return { clock, pass, store, giveBack, vendor: parts.vendor, replicas, read, remove };
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
    ['logout', 0, 'session_forbidden'],
    ['logout', 1, 'session_forbidden'],
    ['erasure', 0, 'session_invalid'],
    ['erasure', 1, 'session_invalid'],
  ] as const)('%s at replica %i, and counts against no limit', async (kind, replica, code) => {
    const { pass, vendor, giveBack, read, remove } = createReplicas(queueing);
    const answer = read();
    await pass(QUEUE_MS / 2);
    await remove(kind, replica);
    await pass(QUEUE_MS);
    expect(await answer).toBe(code);
    expect(vendor.requests).toHaveLength(1);
    expect(vendor.sent).toBe(0);
    expect(giveBack).toHaveBeenCalledTimes(1);
  });

  test('the erasure of an account whose accessId it would obtain', async () => {
    const { pass, vendor, giveBack, replicas, remove } = createReplicas(queueing);
    const subject = { ...PHONE, uniqueId: accessIdTerminal(PHONE.unionId) };
    const answer = codeOf(replicas[0].accessIds.obtain(subject, 'CN'));
    await pass(QUEUE_MS / 2);
    await remove('erasure', 1);
    await pass(QUEUE_MS);
    expect(await answer).toBe('not_found');
    expect(vendor.sent).toBe(0);
    expect(giveBack).toHaveBeenCalledTimes(1);
  });

  test('an erasure that is later than each lease of its accessId, because the clock of the store was set back', async () => {
    const { pass, clock, vendor, replicas } = createReplicas(queueing);
    replicas[0].cache.erased(accountId(PHONE.unionId), clock.now() + 3_600_000);
    const answer = codeOf(replicas[0].accessIds.obtain({ ...PHONE, uniqueId: accessIdTerminal('alice') }, 'CN'));
    await pass(QUEUE_MS);
    expect(await answer).toBe('not_found');
    expect(vendor.requests).toHaveLength(0);
  });

  test('a logout during an outage of the store, that this replica has heard of before', async () => {
    const { pass, vendor, giveBack, store, replicas, read, clock } = createReplicas(queueing);
    store.terminals.acquire = () => Promise.reject(new BrokerError('store_unavailable'));
    const answer = read();
    await pass(QUEUE_MS / 2);
    replicas[0].cache.loggedOut(subjectId(PHONE), clock.now() + QUEUE_MS);
    await pass(QUEUE_MS);
    expect(await answer).toBe('session_forbidden');
    expect(vendor.sent).toBe(0);
    expect(giveBack).not.toHaveBeenCalled();
  });
});

test('a background renewal that is not sent gives back no permit, because it took none', async () => {
  const { pass, vendor, giveBack, replicas, read, remove } = createReplicas(queueing);
  void read();
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
  const { pass, giveBack, read, remove } = createReplicas((clock) => ({
    async login({ mayBeSent }) {
      for (let attempt = 0; attempt < 2; attempt += 1) {
        if (mayBeSent?.() === false) break;
        attempts += 1;
        await sleep(clock, QUEUE_MS);
      }
      throw new BrokerError('vendor_timeout');
    },
  }));
  const answer = read();
  await pass(QUEUE_MS / 2);
  await remove('erasure', 1);
  await pass(2 * QUEUE_MS);
  expect(await answer).toBe('session_invalid');
  expect(attempts).toBe(1);
  expect(giveBack).not.toHaveBeenCalled();
});

test.each(['logout', 'erasure'] as const)(
  'a read at another replica that begins after the %s waits for the end of that login, and logs in',
  async (kind) => {
    const { clock, pass, vendor, replicas, read, remove } = createReplicas(queueing);
    const ended = read();
    await pass(QUEUE_MS / 2);
    await remove(kind, 1);
    await pass(1);
    const later = codeOf(replicas[1].broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now() }));
    await pass(3 * QUEUE_MS);
    expect(await ended).toBe(kind === 'logout' ? 'session_forbidden' : 'session_invalid');
    expect(await later).toBe('ok');
    expect(vendor.sent).toBe(1);
  },
);

test('a question for an accessId at another replica after the erasure waits for the end of that login, and logs in', async () => {
  const { pass, vendor, replicas, remove } = createReplicas(queueing);
  const subject = { ...PHONE, uniqueId: accessIdTerminal(PHONE.unionId) };
  const ask = (replica: 0 | 1) => codeOf(replicas[replica].accessIds.obtain(subject, 'CN'));
  const ended = ask(0);
  await pass(QUEUE_MS / 2);
  await remove('erasure', 1);
  await pass(1);
  const later = ask(1);
  await pass(3 * QUEUE_MS);
  expect([await ended, await later]).toEqual(['not_found', 'ok']);
  expect(vendor.sent).toBe(1);
});
