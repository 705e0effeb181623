import { expect, test } from 'vitest';
import { InFlight } from '../../../src/token/in-flight.ts';

test('a running call is found until it has ended, however many others end meanwhile', async () => {
  const calls = new InFlight<number, string>();
  calls.set(-1, Promise.resolve('running'));
  for (let key = 0; key < 1_000; key += 1) {
    calls.set(key, Promise.resolve('short'));
    expect(await calls.get(key)).toBe('short');
    calls.delete(key);
    expect(calls.get(key)).toBeUndefined();
    expect(await calls.get(-1)).toBe('running');
  }
  calls.delete(-1);
  expect(calls.get(-1)).toBeUndefined();
});
