import { expect, it } from 'vitest';
import { CheckQueue, SessionCache } from '../../../src/session/session-cache.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { START_MS, TestClock } from './sessions.ts';

function observed({ cacheSeconds = 30, takesMs = 0 } = {}) {
  const clock = new TestClock();
  const { observer, told } = recordingObserver();
  const server = { failure: undefined as Error | undefined, hangs: undefined as Promise<void> | undefined };
  const verifier = {
    async verify() {
      const { failure, hangs } = server;
      clock.time += takesMs;
      await hangs;
      if (failure) throw failure;
      const expiresAt = Number.MAX_SAFE_INTEGER;
      return { unionId: 'alice', region: undefined, app: undefined, issuedAt: undefined, expiresAt };
    },
  };
  const cache = new SessionCache(verifier, {
    cacheSeconds,
    refusalMs: 2_000,
    schedule: new CheckQueue(clock),
    isCheckLocal: false,
    maxBytes: 2 ** 20,
    clock,
    observer,
  });
  const verify = async (session: string) => {
    try {
      await cache.verify(session);
    } catch {
      // The observer has counted the error.
    }
  };
  return { clock, server, verify, outcomes: () => told('sessionChecked').map(([outcome]) => outcome) };
}

it('a session check reports an accepted session, and whether it came from the cache', async () => {
  const { verify, outcomes } = observed();
  await Promise.all([verify('one'), verify('one'), verify('one')]);
  await verify('one');
  await verify('two');
  expect(outcomes()).toEqual(['accepted', 'cached', 'accepted']);
});

it('a session check reports the reason of every refusal', async () => {
  const { server, verify, outcomes } = observed();
  server.failure = new BrokerError('session_expired');
  await verify('one');
  await verify('one');
  server.failure = new BrokerError('session_invalid');
  await verify('two');
  expect(outcomes()).toEqual(['session_expired', 'session_expired', 'session_invalid']);
});

it('a session check tells junk from the refusals of sessions, also when it comes again', async () => {
  const { server, verify, outcomes } = observed();
  server.failure = new BrokerError('session_invalid', { isMalformed: true });
  await verify('junk');
  await verify('junk');
  expect(outcomes()).toEqual(['malformed', 'malformed']);
});

it('a session check reports an unavailable server, and whether the stale session was accepted', async () => {
  const { clock, server, verify, outcomes } = observed();
  await verify('one');
  clock.time = START_MS + 30_000;
  server.failure = new BrokerError('session_check_unavailable');
  await verify('one');
  await verify('two');
  clock.time = START_MS + 60_000;
  await verify('one');
  expect(outcomes()).toEqual(['accepted', 'kept', 'session_check_unavailable', 'session_check_unavailable']);
});

it('a session check that takes longer than cacheSeconds reports that the stale session was accepted', async () => {
  const { clock, server, verify, outcomes } = observed({ cacheSeconds: 2, takesMs: 3_000 });
  await verify('one');
  server.failure = new BrokerError('session_check_unavailable');
  clock.time = START_MS + 3_999;
  await verify('one');
  expect(outcomes()).toEqual(['accepted', 'kept']);
});

it('a session check reports that the stale session was accepted, also if newer ones displaced it meanwhile', async () => {
  const { clock, server, verify, outcomes } = observed();
  await verify('one');
  clock.time = START_MS + 30_000;
  let giveUp: () => void = () => undefined;
  server.failure = new BrokerError('session_check_unavailable');
  server.hangs = new Promise((resolve) => {
    giveUp = resolve;
  });
  const checked = verify('one');
  server.failure = undefined;
  server.hangs = undefined;
  for (let newer = 0; newer < 50; newer += 1) await verify(`newer ${newer}`);
  giveUp();
  await checked;
  expect(outcomes().at(-1)).toBe('kept');
});
