import { expect, test } from 'vitest';
import type { Clock } from '../../../src/token/clock.ts';
import { connectionPlaces } from '../../../src/vendor-api/client.ts';
import { TestClock } from '../../support/test-clock.ts';
import { virtualClock } from '../../support/virtual-clock.ts';
import { REQUEST, refusalOf, vendorLoginAt } from './running-vendor-login.ts';
import { SUCCESS, scriptedTransport } from './scripted-vendor.ts';

/** As many logins as there are places for attempts at one domain. */
const PLACES = 64;
const TIMEOUT_MS = 10_000;

test('a login whose turn comes 1 ms too late is not sent, and gives its connection back to a later login', async () => {
  const time = new TestClock();
  const lastMomentMs = REQUEST.budgetMs - TIMEOUT_MS;
  let turnEndsAfterMs = lastMomentMs + 1;
  // As after a stillness of the process: the wait for the turn ends late.
  const clock: Clock = {
    now: () => time.now(),
    monotonic: () => time.monotonic(),
    random: () => 0,
    nextTurn: time.nextTurn,
    setTimer(callback) {
      time.advance(turnEndsAfterMs);
      queueMicrotask(callback);
      return { cancel: () => undefined };
    },
  };
  const { sent, transport } = scriptedTransport();
  // Background logins wait for the queue without a timeout, so the only timer is that of the turn.
  const queue = { reserve: async () => ({ granted: true, waitMs: 10 }) };
  const options = { clock, transport, queue, maxPerSecond: 20, timeoutMs: TIMEOUT_MS };
  const { vendorLogin } = vendorLoginAt(new URL('http://vendor.test'), options);
  const request = { ...REQUEST, urgency: 'background' } as const;
  for (let login = 0; login < PLACES; login += 1) {
    expect(await refusalOf(vendorLogin.login(request))).toMatchObject({ code: 'vendor_busy', retryAfter: 1 });
  }
  expect(sent).toHaveLength(0);
  turnEndsAfterMs = lastMomentMs;
  expect((await vendorLogin.login(request)).fields['accessToken']).toBe(SUCCESS.data.accessToken);
});

test('a wait for a place ends with one that is given back, or without one after its time, and leaves no timer', async () => {
  const { clock, pass, pending } = virtualClock();
  const places = connectionPlaces(clock);
  for (let place = 0; place < PLACES; place += 1) expect(await places.take(0)).toBe(true);
  const hasty = places.take(100);
  const patient = places.take(1_000);
  await pass(100);
  expect(await hasty).toBe(false);
  places.giveBack();
  expect(await patient).toBe(true);
  expect(pending()).toBe(0);
});

test('a login that gets no place in time is not sent, and leaves the places of the others taken', async () => {
  const { clock, pass } = virtualClock();
  const { transport } = scriptedTransport();
  let open = 0;
  const post: typeof transport.post = (login) => {
    open += 1;
    return new Promise((resolve) => clock.setTimer(() => resolve(transport.post(login)), TIMEOUT_MS / 2));
  };
  const { vendorLogin } = vendorLoginAt(new URL('http://vendor.test'), { clock, transport: { ...transport, post } });
  const logIn = (budgetMs: number) => vendorLogin.login({ ...REQUEST, budgetMs });
  const logins = Array.from({ length: PLACES }, () => logIn(TIMEOUT_MS + 1));
  const late = refusalOf(logIn(TIMEOUT_MS + 1));
  const waiting = logIn(2 * TIMEOUT_MS);
  await pass(100);
  expect(open).toBe(PLACES);
  expect(await late).toMatchObject({ code: 'vendor_busy', retryAfter: 1 });
  await pass(TIMEOUT_MS);
  await Promise.all([...logins, waiting]);
  expect(open).toBe(PLACES + 1);
});
