import { createHook } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { keepTick, serve } from '../../../src/commands/serve.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** The ticks that `act` creates. */
function ticksOf(act: () => void): WeakRef<object>[] {
  const ticks: WeakRef<object>[] = [];
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === 'TickObject') ticks.push(new WeakRef(resource));
    },
  }).enable();
  act();
  hook.disable();
  return ticks;
}

async function aliveAfterCollection(ticks: readonly WeakRef<object>[]): Promise<number> {
  await sleep(10);
  collectGarbage();
  return ticks.filter((tick) => tick.deref() !== undefined).length;
}

describe('the tick that keepTick keeps', () => {
  it('survives a full garbage collection, unlike other ticks', async () => {
    const others = ticksOf(() => process.nextTick(() => undefined));
    const kept = ticksOf(keepTick);
    expect([others.length, kept.length]).toEqual([1, 1]);
    expect(await aliveAfterCollection(others)).toBe(0);
    expect(await aliveAfterCollection(kept)).toBe(1);
  });

  it('is kept by `serve`, before it reads the configuration', async () => {
    const terminal = { env: {}, version: '', out: () => undefined, err: () => undefined, redraw: undefined };
    let served: Promise<void> | undefined;
    const ticks = ticksOf(() => {
      served = serve([], terminal);
    });
    await expect(served).rejects.toThrow('VENDOR_BASE_URL');
    expect(await aliveAfterCollection(ticks)).toBe(1);
  });
});
