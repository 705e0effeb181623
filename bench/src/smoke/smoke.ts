import { textTable } from '../report/text-table.ts';
import { readCosts } from './read-costs.ts';

/**
 * `npm run bench -- --smoke`: what a read costs, in counts, which no other load on the machine can change.
 * @returns whether every count is what it is to be
 */
export async function smoke(): Promise<boolean> {
  const { hot, cold, first } = await readCosts();
  const rows = [
    { read: 'hot', what: 'round trips to Redis', counted: hot.roundTrips, allowed: '0', holds: hot.roundTrips === 0 },
    { read: 'hot', what: 'leases', counted: hot.leases, allowed: '0', holds: hot.leases === 0 },
    { read: 'hot', what: 'timers', counted: hot.timers, allowed: '0', holds: hot.timers === 0 },
    {
      read: 'cold',
      what: 'round trips to Redis',
      counted: cold.roundTrips,
      allowed: '1',
      holds: cold.roundTrips === 1,
    },
    { read: 'cold', what: 'leases', counted: cold.leases, allowed: '0', holds: cold.leases === 0 },
    // These two show that what must not be there elsewhere would be seen.
    { read: 'first', what: 'leases', counted: first.leases, allowed: '≥ 1', holds: first.leases >= 1 },
    { read: 'first', what: 'timers', counted: first.timers, allowed: '≥ 1', holds: first.timers >= 1 },
  ];
  const cells = rows.map(({ read, what, counted, allowed, holds }) => [
    read,
    what,
    String(counted),
    allowed,
    holds ? 'ok' : 'NO',
  ]);
  process.stdout.write(`${textTable([['read', 'for each', 'counted', 'allowed', ''], ...cells])}\n`);
  return rows.every(({ holds }) => holds);
}
