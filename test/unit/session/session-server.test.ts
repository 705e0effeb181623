import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { boundedFetch } from '../../../src/session/session-server.ts';
import { type Clock, systemClock } from '../../../src/token/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { json, RecordingServer } from './recording-server.ts';

const TIMEOUT_MS = 3_000;

/** Its timers end only when the test calls their callback. */
class StoppedClock implements Clock {
  readonly timers = new Map<() => void, number>();
  readonly now = systemClock.now;
  readonly random = systemClock.random;

  setTimer(callback: () => void, ms: number) {
    this.timers.set(callback, ms);
    return { cancel: () => void this.timers.delete(callback) };
  }
}

let clock: StoppedClock;
let server: RecordingServer;

beforeEach(async () => {
  clock = new StoppedClock();
  server = new RecordingServer(json({ sub: 'u-1' }));
  await server.start();
});

afterEach(() => server.stop());

describe('the timeout of the session server', () => {
  it.each([
    ['before the answer', () => undefined],
    ['in the middle of the body', (response: ServerResponse) => void response.write('{"sub":')],
  ])('ends a request %s when the clock says that 3 s are over', async (_when, begin) => {
    server.answer = (_request, response) => begin(response);
    const failure = boundedFetch(server.origin, {}, clock).then(
      () => 'an answer',
      (error: Error) => error.name,
    );
    await eventually(() => server.received.length === 1);
    const [[end, ms] = []] = clock.timers;
    expect(ms).toBe(TIMEOUT_MS);
    end?.();
    expect(await failure).toBe('TimeoutError');
    expect(clock.timers.size).toBe(0);
  });

  it('leaves no timer behind, neither after an answer nor after a failure', async () => {
    await boundedFetch(server.origin, {}, clock);
    expect(clock.timers.size).toBe(0);
    await server.stop();
    await expect(boundedFetch(server.origin, {}, clock)).rejects.toThrow();
    expect(clock.timers.size).toBe(0);
  });
});
