import { expect, onTestFinished, test } from 'vitest';
import { Readiness } from '../../../src/broker/readiness.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { eventually } from '../../support/eventually.ts';

function open() {
  let up = false;
  let pings = 0;
  const readiness = new Readiness(
    {
      ping: async () => {
        pings += 1;
        if (!up) throw new Error('away');
      },
      onReturn: () => undefined,
    },
    systemClock,
  );
  onTestFinished(() => readiness.stop());
  return {
    readiness,
    pings: () => pings,
    turn: (next: boolean) => {
      up = next;
    },
  };
}

test('a replica is not ready before its store has answered', async () => {
  const { readiness } = open();
  expect(await readiness.report()).toEqual({ ready: false, checks: { store: 'unreachable' } });
});

test('a replica stays ready when its store goes away, and says so', async () => {
  const { readiness, turn } = open();
  turn(true);
  expect(await readiness.report()).toEqual({ ready: true, checks: { store: 'ok' } });
  turn(false);
  expect(await readiness.report()).toEqual({ ready: true, checks: { store: 'unreachable: serving from memory' } });
});

test('a replica nobody asked while its store was there is ready all the same', async () => {
  const { readiness, turn, pings } = open();
  const started = readiness.start();
  await eventually(() => pings() > 1);
  turn(true);
  await started;
  turn(false);
  expect((await readiness.report()).ready).toBe(true);
});

test('looking for the store ends when it is stopped', async () => {
  const { readiness } = open();
  const started = readiness.start();
  readiness.stop();
  await expect(started).resolves.toBeUndefined();
});
