import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startApp } from './running-app.ts';

/** Blocks the event loop. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

describe('a replica with a stuck event loop', () => {
  it('refuses token reads as internal with Retry-After, and still answers health checks', {
    timeout: 30_000,
  }, async () => {
    const { origin, getToken } = await startApp();
    expect((await getToken()).status).toBe(200);
    let refused: Response | undefined;
    for (let i = 0; i < 8 && refused === undefined; i++) {
      block(1_500);
      const answer = await getToken();
      if (answer.status !== 200) refused = answer;
    }
    expect(refused?.status).toBe(500);
    expect(refused?.headers.get('retry-after')).toBe('1');
    expect(await refused?.json()).toMatchObject({ code: 'internal', retryable: true });
    expect((await fetch(`${origin}/livez`)).status).toBe(200);
    expect((await fetch(`${origin}/readyz`)).status).toBe(200);
  });
});

describe('a replica that was blocked once for a long time', () => {
  it('refuses no request afterwards', async () => {
    const { getToken } = await startApp();
    expect((await getToken()).status).toBe(200);
    block(4_000);
    const statuses: number[] = [];
    for (const end = performance.now() + 1_200; performance.now() < end; await sleep(10)) {
      statuses.push((await getToken()).status);
    }
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });
});
