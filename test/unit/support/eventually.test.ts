import { expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';

function counter(): () => number {
  let calls = 0;
  return () => {
    calls += 1;
    return calls;
  };
}

it('repeats a check that throws or returns false, and returns its first other result', async () => {
  const next = counter();
  const answer = await eventually(
    () => {
      const call = next();
      if (call === 1) throw new Error('not yet');
      return call === 2 ? false : call;
    },
    { everyMs: 1 },
  );
  expect(answer).toBe(3);
});

it('reports the last failure after the timeout', async () => {
  const failing = () => Promise.reject(new Error('still down'));
  await expect(eventually(failing, { timeoutMs: 0 })).rejects.toThrow('still down');
  await expect(eventually(() => false, { timeoutMs: 0 })).rejects.toThrow('false');
});
