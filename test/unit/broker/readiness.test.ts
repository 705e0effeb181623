import { expect, onTestFinished, test } from 'vitest';
import { createReadiness } from '../../../src/broker/readiness.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { eventually } from '../../support/eventually.ts';

function readinessOfStore() {
  let isStoreUp = false;
  let pingCount = 0;
  const readiness = createReadiness(
    {
      ping: async () => {
        pingCount += 1;
        if (!isStoreUp) throw new Error('unreachable');
      },
      onReturn: () => undefined,
    },
    systemClock,
  );
  onTestFinished(() => readiness.stop());
  return {
    readiness,
    pingCount: () => pingCount,
    setStoreUp: (isUp: boolean) => {
      isStoreUp = isUp;
    },
  };
}

test('a replica is not ready before its store has answered', async () => {
  const { readiness } = readinessOfStore();
  expect(await readiness.report()).toEqual({ ready: false, checks: { store: 'unreachable' } });
});

test('a replica stays ready when its store becomes unreachable, and its report says so', async () => {
  const { readiness, setStoreUp } = readinessOfStore();
  setStoreUp(true);
  expect(await readiness.report()).toEqual({ ready: true, checks: { store: 'ok' } });
  setStoreUp(false);
  expect(await readiness.report()).toEqual({ ready: true, checks: { store: 'unreachable: serving from memory' } });
});

test('a replica becomes ready by its own checks, without a report while the store was reachable', async () => {
  const { readiness, setStoreUp, pingCount } = readinessOfStore();
  const started = readiness.start();
  await eventually(() => pingCount() > 1);
  setStoreUp(true);
  await started;
  setStoreUp(false);
  expect((await readiness.report()).ready).toBe(true);
});

test('the checks for the store end when readiness is stopped', async () => {
  const { readiness } = readinessOfStore();
  const started = readiness.start();
  readiness.stop();
  await expect(started).resolves.toBeUndefined();
});
