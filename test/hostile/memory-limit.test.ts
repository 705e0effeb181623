import { expect, onTestFinished, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';

/** Maximum of the old generation of the heap. A replica with empty caches takes 24 MB of it. */
const HEAP_MB = 36;
const ACCOUNTS = 48;
/** As many as an account may have in memory. All together take more than the rest of the heap. */
const PER_ACCOUNT = 50;
const AT_ONCE = 10;
/** Makes a session almost as long as it may be, 8,192 characters. */
const PADDING = 'x'.repeat(5_800);
const KNOWN = Array.from({ length: 10 }, (_, number) => `known-${number}`);

test('a flood of the longest sessions does not end a replica with a small heap', async () => {
  const fleet = await startFleet({
    replicas: 1,
    env: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` },
  });
  onTestFinished(() => fleet.close());
  const broker = fleet.broker(0);
  const known = await Promise.all(KNOWN.map((unionId) => fleet.session(unionId)));
  for (const session of known) expect((await broker.getToken(session, 'phone')).status).toBe(200);

  const outcomes = new Map<number | string, number>();
  let left = ACCOUNTS * PER_ACCOUNT;
  const flood = async () => {
    while (left > 0) {
      left -= 1;
      const account = { unionId: `flood-${left % ACCOUNTS}`, region: 'DE', claims: { padding: PADDING } };
      const session = await fleet.cloud.issueSession(account);
      // From its second check on, it is kept in memory.
      for (let read = 0; read < 2; read += 1) {
        const outcome = await broker.getToken(session, 'phone').then(
          ({ status }) => status,
          (error: Error) => error.message,
        );
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }
  };
  await readDuring(broker, known, () => Promise.all(Array.from({ length: AT_ONCE }, flood)));
  expect([...outcomes]).toEqual([[200, 2 * ACCOUNTS * PER_ACCOUNT]]);
});
