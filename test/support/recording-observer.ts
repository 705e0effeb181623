import type { Observer } from '../../src/token/observer.ts';
import { silentObserver } from './silent-observer.ts';

/** Creates an observer that records the arguments of every event. `told` returns them by event name. */
export function recordingObserver() {
  const events = new Map<string, unknown[][]>();
  const names = Object.keys(silentObserver) as (keyof Observer)[];
  const methods = names.map((name) => {
    const told: unknown[][] = [];
    events.set(name, told);
    return [name, (...args: unknown[]) => void told.push(args)];
  });
  return {
    observer: Object.fromEntries(methods) as Observer,
    told: (name: keyof Observer): readonly unknown[][] => events.get(name) ?? [],
  };
}
