import { expect, onTestFinished, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';
import { readDuring } from '../support/honest-reads.ts';

/** Maximum of the old generation of the heap. A replica with empty caches takes 24 MB of it. */
const HEAP_MB = 64;
/** Distinct accounts, each with a session of almost the maximum length, 8,192 characters. */
const ACCOUNTS = Number(process.env['HOSTILE_ACCOUNTS'] ?? 2_000);
const AT_ONCE = 10;
const PADDING = 'x'.repeat(5_800);
const KNOWN = Array.from({ length: 10 }, (_, number) => `known-${number}`);

test('a flood of accounts with the longest sessions does not end a replica with a small heap', {
  timeout: 60_000 + 60 * ACCOUNTS,
}, async () => {
  const fleet = await startFleet({
    replicas: 1,
    env: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` },
  });
  onTestFinished(() => fleet.close());
  const broker = fleet.broker(0);
  const known = await Promise.all(KNOWN.map((unionId) => fleet.session(unionId)));
  for (const session of known) expect((await broker.getToken(session, 'phone')).status).toBe(200);

  const outcomes = new Map<number | string, number>();
  let left = ACCOUNTS;
  const flood = async () => {
    while (left > 0) {
      left -= 1;
      const account = { unionId: `flood-${left}`, region: 'DE', claims: { padding: PADDING } };
      const session = await fleet.cloud.issueSession(account);
      const outcome = await broker.getToken(session, 'phone').then(
        ({ status }) => status,
        (error: Error) => error.message,
      );
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  };
  await readDuring(broker, known, () => Promise.all(Array.from({ length: AT_ONCE }, flood)));
  expect([...outcomes]).toEqual([[200, ACCOUNTS]]);
});
