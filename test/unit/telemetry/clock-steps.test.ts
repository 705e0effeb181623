import { Redis, ReplyError } from 'ioredis';
import { expect, test } from 'vitest';
import { RedisCommands } from '../../../src/store/redis/connection/commands.ts';
import type { ReplicaFacts } from '../../../src/telemetry/finding-facts.ts';
import { replicaFindings } from '../../../src/telemetry/findings.ts';
import { ContactHistory } from '../../../src/token/contact-history.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { TestClock } from '../../support/test-clock.ts';
import { DOMAIN, factsAt } from './facts.ts';

const MINUTE_MS = 60_000;
const SET_BACK_MS = -10 * MINUTE_MS;

function createReplica() {
  const clock = new TestClock();
  const redis = new RedisCommands(new Redis({ lazyConnect: true }), clock, silentObserver);
  const vendor = new ContactHistory(clock);
  const facts = (): ReplicaFacts => ({
    ...factsAt(clock),
    redis: { outage: redis.outage(), refusedWrites: redis.refusedWrites(), losses: [] },
    vendorDomains: [{ ...DOMAIN, ...vendor }],
  });
  return {
    clock,
    found: () => replicaFindings(facts()).map(({ code }) => code),
    redisFails: (error: Error) => redis.run(undefined, () => Promise.reject(error)).catch(() => undefined),
    vendorFails: () => vendor.failed({ at: clock.now(), reason: 'timeout' }),
  };
}

test.each([
  ['redis_unreachable', new Error('Connection is closed.')],
  ['redis_refuses_writes', new ReplyError('OOM command not allowed')],
])('%s stays while the wall clock is set back, and ends in time after it was set forward', async (code, error) => {
  const { clock, found, redisFails } = createReplica();
  await redisFails(error);
  clock.jump(SET_BACK_MS);
  clock.advance(2_500);
  await redisFails(error);
  expect(found()).toEqual([]);
  clock.advance(2_500);
  await redisFails(error);
  expect(found()).toEqual([code]);
  clock.jump(SET_BACK_MS);
  clock.advance(1_000);
  expect(found()).toEqual([code]);
  clock.jump(-2 * SET_BACK_MS);
  expect(found()).toEqual([code]);
  clock.advance(15_000);
  expect(found()).toEqual([]);
});

test('redis_refuses_writes counts from the first refusal after a pause of 5 s', async () => {
  const { clock, found, redisFails } = createReplica();
  for (const [afterMs, codes] of [
    [0, []],
    [5_000, []],
    [3_000, ['redis_refuses_writes']],
  ] as const) {
    clock.advance(afterMs);
    await redisFails(new ReplyError('OOM command not allowed'));
    expect(found()).toEqual(codes);
  }
});

test('vendor_down begins and ends by the time that has passed, whatever the wall clock shows', () => {
  const { clock, found, vendorFails } = createReplica();
  const failFor = (ms: number) => {
    for (let count = 0; count < 20; count += 1) {
      clock.advance(ms / 20);
      vendorFails();
    }
  };
  vendorFails();
  clock.jump(10 * MINUTE_MS);
  failFor(4 * MINUTE_MS);
  expect(found()).toEqual([]);
  clock.jump(SET_BACK_MS);
  failFor(MINUTE_MS);
  expect(found()).toEqual(['vendor_down']);
  clock.jump(20 * MINUTE_MS);
  expect(found()).toEqual(['vendor_down']);
  clock.jump(-20 * MINUTE_MS);
  clock.advance(15 * MINUTE_MS);
  expect(found()).toEqual([]);
});
