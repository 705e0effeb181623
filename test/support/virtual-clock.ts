import { setImmediate as nextTurn } from 'node:timers/promises';
import { VirtualTime } from '../simulation/virtual-time.ts';

/**
 * A clock that only moves when a test calls `pass`. This also runs the timers that become due. After `jump`,
 * the clock of this process has changed, and the clock of the store has not. `pending` counts the timers that wait.
 */
export function virtualClock() {
  const time = new VirtualTime(1);
  const machine = { number: 0, alive: true, frozenUntil: 0, clockOffsetMs: 0 };
  const clock = time.clockOf(machine);
  const storeClock = time.clockOf({ number: 1, alive: true, frozenUntil: 0, clockOffsetMs: 0 });
  const jump = (ms: number): void => {
    machine.clockOffsetMs += ms;
  };
  const pass = async (ms: number): Promise<void> => {
    await nextTurn();
    await time.run(ms);
    await nextTurn();
  };
  const pending = (): number => time.pendingOf(machine);
  return { clock, storeClock, pass, jump, pending };
}
