import { describe, expect, test } from 'vitest';
import { accountOf, subjectId } from '../../../../../src/token/subject.ts';
import { claimLeases } from '../../../../support/due-claims.ts';
import { expectMs, granted, openRedisState, restored } from '../../../../support/redis-state.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const TABLET = subjectId({ ...SUBJECT, uniqueId: 'tablet' });
const HOUR_MS = 3_600_000;

type State = Awaited<ReturnType<typeof openRedisState>>;

describe('the fences of an account are kept for an hour after the last of them, not after the first:', () => {
  test.each<[change: string, (state: State) => Promise<unknown>]>([
    ['a lease', ({ store }) => granted(store, ID)],
    ['a logout', ({ store }) => store.terminals.remove(ID)],
    [
      'a claim',
      async ({ store, setDue }) => {
        await setDue(ID, 0);
        expect((await claimLeases(store, 100, 1_000)).claims).toHaveLength(1);
      },
    ],
  ])('%s', async (_change, change) => {
    const state = await openRedisState();
    const { store, redis, keys, lifeMs } = state;
    const fences = keys.fences(accountOf(ID));
    await restored(store, { subject: SUBJECT });
    await granted(store, TABLET);
    // As if the fence of the tablet were 59 minutes old.
    await redis.pexpire(fences, 60_000);
    await change(state);
    expectMs(await lifeMs(fences), HOUR_MS);
  });
});

test('a logout of a token from a time when the clock of Redis was ahead is kept for an hour after that time, also beside later leases', async () => {
  const { store, redis, keys, lifeMs } = await openRedisState();
  const fences = keys.fences(accountOf(ID));
  const generation = Date.now() + 8 * HOUR_MS;
  await restored(store, { subject: SUBJECT, generation });
  const outdated = await store.terminals.remove(ID);
  await granted(store, TABLET);
  expect(await lifeMs(fences)).toBeGreaterThan(9 * HOUR_MS - 10_000);
  // An hour and a minute later.
  await redis.pexpire(fences, (await lifeMs(fences)) - HOUR_MS - 60_000);
  expect((await granted(store, ID)).generation).toBeGreaterThan(outdated ?? Number.NaN);
});
