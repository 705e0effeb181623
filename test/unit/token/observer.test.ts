import { expect, test, vi } from 'vitest';
import { type Observer, withListener } from '../../../src/token/observer.ts';

test('an observer with a listener reports each event to both, with its facts, and the rest to the observer', () => {
  const [first, second, other] = [vi.fn(), vi.fn(), vi.fn()];
  const observer = { budgetDenied: first, redisAsked: other } as Partial<Observer> as Observer;
  const both = withListener(observer, { budgetDenied: second });
  both.budgetDenied('background');
  both.redisAsked();
  expect([first.mock.calls, second.mock.calls, other.mock.calls]).toEqual([[['background']], [['background']], [[]]]);
  expect(first.mock.invocationCallOrder[0]).toBeLessThan(second.mock.invocationCallOrder[0] ?? 0);
});
