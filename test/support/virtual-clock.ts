import { setImmediate as nextTurn } from 'node:timers/promises';
import { VirtualTime } from '../simulation/virtual-time.ts';

/** A clock that only moves when a test calls `pass`. This also runs the timers that become due. */
export function virtualClock() {
  const time = new VirtualTime(1);
  const clock = time.clockOf({ name: 'test', alive: true, frozenUntil: 0, clockOffsetMs: 0 });
  const pass = async (ms: number): Promise<void> => {
    await nextTurn();
    await time.run(ms, () => undefined);
    await nextTurn();
  };
  return { clock, pass };
}
