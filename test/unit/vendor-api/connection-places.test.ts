import { expect, test } from 'vitest';
import type { Clock } from '../../../src/token/clock.ts';
import { TestClock } from '../../support/test-clock.ts';
import { REQUEST, refusalOf, vendorLoginAt } from './running-vendor-login.ts';
import { SUCCESS } from './scripted-vendor.ts';

/** As many logins as there are places for attempts at one domain. */
const PLACES = 64;

test('a login whose turn comes too late gives its connection back, so a later login still finds one', async () => {
  const time = new TestClock();
  let isLate = true;
  // As after a stillness of the process: the wait for the turn ends after the budget of the login.
  const clock: Clock = {
    now: () => time.now(),
    monotonic: () => time.monotonic(),
    random: () => 0,
    nextTurn: time.nextTurn,
    setTimer(callback, ms) {
      time.advance(ms + (isLate ? REQUEST.budgetMs : 0));
      queueMicrotask(callback);
      return { cancel: () => undefined };
    },
  };
  let sent = 0;
  const transport = {
    post: async () => {
      sent += 1;
      return { status: 200, text: JSON.stringify(SUCCESS), dateHeader: undefined, retryAfter: undefined };
    },
    close: async () => undefined,
  };
  // Background logins wait for the queue without a timeout, so the only timer is that of the turn.
  const queue = { reserve: async () => ({ granted: true, waitMs: 10 }) };
  const { vendorLogin } = vendorLoginAt(new URL('http://vendor.test'), { clock, transport, queue, maxPerSecond: 20 });
  const request = { ...REQUEST, urgency: 'background' } as const;
  for (let login = 0; login < PLACES; login += 1) {
    expect((await refusalOf(vendorLogin.login(request))).code).toBe('vendor_busy');
  }
  expect(sent).toBe(0);
  isLate = false;
  expect((await vendorLogin.login(request)).fields['accessToken']).toBe(SUCCESS.data.accessToken);
});
