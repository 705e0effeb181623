import { expect, test } from 'vitest';
import { Rounds } from '../../../tools/bench/src/rounds.ts';

const REST = { p50Ms: 1, p99Ms: 1, cpuUsPerRequest: 1, serverBusy: 1, loadCoreBusy: 1 };

test('rounds let each peer take each turn once, and compare results of the same turn', async () => {
  const turns: string[] = [];
  const rounds = new Rounds(['naive', 'broker'], () => undefined);
  // The machine gets slower by half in each turn, and the broker answers 1.5 times as many requests.
  await rounds.take(4, async (peer, turn) => {
    turns.push(`${peer} ${turn}`);
    return { ...REST, perSecond: (peer === 'broker' ? 1.5 : 1) * 1_000 * 0.5 ** turn };
  });
  const order = ['naive 0', 'broker 0', 'broker 1', 'naive 1', 'naive 2', 'broker 2', 'broker 3', 'naive 3'];
  expect(turns).toEqual(order);
  expect(rounds.throughput('naive', 1.4)).toMatchObject({ measured: expect.stringContaining('1.50 ×'), met: true });
  expect(rounds.throughput('naive', 1.6)).toMatchObject({ met: false });
});
