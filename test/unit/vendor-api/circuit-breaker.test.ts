import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/token/clock.ts';
import { CircuitBreaker, type CircuitStatus } from '../../../src/vendor-api/domains.ts';
import { VendorFault } from '../../../src/vendor-api/faults.ts';

const OUTAGES = ['timeout', 'unreachable', 'outage', 'too_large', 'broken_answer', 'unknown', 'maintenance'] as const;
const ANSWERS = ['configuration', 'request', 'account_closed', 'clock_skew'] as const;
const OPEN_MS = 5_000;

// cockatiel reads Date. The tests only move the date and do not wait.
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 }));
afterEach(() => void vi.useRealTimers());
const pass = (ms: number) => vi.setSystemTime(Date.now() + ms);

/** A circuit breaker that records its status changes and the number of attempts that it lets through. */
class Watched {
  readonly changes: CircuitStatus[] = [];
  readonly circuit = new CircuitBreaker(systemClock, (status) => this.changes.push(status));
  attempts = 0;

  run(outcome: () => Promise<string>): Promise<string> {
    return this.circuit.run(() => {
      this.attempts += 1;
      return outcome();
    });
  }

  /** Runs an attempt. @returns its value, or the kind of its fault */
  async outcome(kind: 'well' | VendorFault['kind']): Promise<string> {
    const attempt = kind === 'well' ? async () => 'well' : () => Promise.reject(new VendorFault(kind));
    return this.run(attempt).catch((error: unknown) => (error instanceof VendorFault ? error.kind : String(error)));
  }

  async repeat(times: number, kind: 'well' | VendorFault['kind']): Promise<void> {
    for (let time = 0; time < times; time += 1) expect(await this.outcome(kind)).toBe(kind);
  }
}

async function opened(): Promise<Watched> {
  const watched = new Watched();
  await watched.repeat(10, 'outage');
  expect(watched.circuit.status).toBe('open');
  return watched;
}

describe('a circuit stays closed', () => {
  it('after a single failure, and after nine', async () => {
    const watched = new Watched();
    await watched.repeat(9, 'timeout');
    expect(watched.circuit.status).toBe('closed');
    expect(await watched.outcome('well')).toBe('well');
    expect(watched.attempts).toBe(10);
  });

  it.each(ANSWERS)('however often the vendor answers with a definite refusal: %s', async (kind) => {
    const watched = new Watched();
    await watched.repeat(100, kind);
    expect(watched.changes).toEqual([]);
    expect(watched.attempts).toBe(100);
  });

  it('while at most 80 % of the last 20 attempts failed, not counting definite refusals', async () => {
    const kinds = fc.constantFrom('well' as const, ...ANSWERS, ...OUTAGES);
    await fc.assert(
      fc.asyncProperty(fc.array(kinds, { maxLength: 60 }), async (each) => {
        const watched = new Watched();
        const failed: boolean[] = [];
        for (const kind of each) {
          await watched.repeat(1, kind);
          failed.push(OUTAGES.some((outage) => outage === kind));
          const last = failed.slice(-20);
          const isDown = failed.length >= 10 && last.filter(Boolean).length > 0.8 * last.length;
          // The breaker checks the sample after each failed attempt.
          const status = isDown && failed.at(-1) ? 'open' : 'closed';
          expect(watched.circuit.status).toBe(status);
          if (status === 'open') return;
        }
      }),
    );
  });
});

describe('an open circuit', () => {
  it.each([...OUTAGES, 'too_frequent'] as const)('follows ten failures: %s', async (kind) => {
    const watched = new Watched();
    await watched.repeat(10, kind);
    expect(watched.changes).toEqual(['open']);
  });

  it('lets no attempt through for 5 s, and says how long it stays open', async () => {
    const { circuit, ...watched } = await opened();
    for (const [waitedMs, retryAfter] of [
      [0, 5],
      [1_500, 4],
      [3_499, 1],
    ] as const) {
      pass(waitedMs);
      expect(() => circuit.throwIfOpen()).toThrow(VendorFault);
      const refused = expect(circuit.run(() => Promise.reject(new Error('an attempt was made')))).rejects;
      await refused.toMatchObject({ kind: 'circuit_open', facts: { retryAfter } });
    }
    expect(watched.attempts).toBe(10);
  });

  it('does not count its own refusals', async () => {
    const watched = await opened();
    await watched.repeat(1_000, 'circuit_open');
    pass(OPEN_MS);
    await watched.repeat(1, 'well');
    await watched.repeat(8, 'outage');
    expect(watched.circuit.status).toBe('closed');
  });

  it('lets one trial attempt through after 5 s, and refuses the others until it ends', async () => {
    const watched = await opened();
    pass(OPEN_MS);
    let answer: (outcome: string) => void = () => undefined;
    const found = watched.run(() => new Promise((resolve) => (answer = resolve)));
    for (let other = 0; other < 20; other += 1) expect(await watched.outcome('well')).toBe('circuit_open');
    expect(watched.attempts).toBe(11);
    expect(watched.circuit.status).toBe('half-open');
    expect(() => watched.circuit.throwIfOpen()).toThrow(expect.objectContaining({ facts: { retryAfter: 1 } }));
    answer('well');
    expect(await found).toBe('well');
    expect(watched.changes).toEqual(['open', 'half-open', 'closed']);
  });

  it.each(['well', ...ANSWERS] as const)('closes on an answer (%s) and forgets the earlier failures', async (kind) => {
    const watched = await opened();
    pass(OPEN_MS);
    await watched.repeat(1, kind);
    expect(watched.circuit.status).toBe('closed');
    await watched.repeat(8, 'outage');
    expect(watched.circuit.status).toBe('closed');
  });

  it.each(OUTAGES)('stays open for another 5 s if the trial attempt fails: %s', async (kind) => {
    const watched = await opened();
    pass(OPEN_MS);
    await watched.repeat(1, kind);
    pass(OPEN_MS - 1);
    expect(await watched.outcome('well')).toBe('circuit_open');
    pass(1);
    expect(await watched.outcome('well')).toBe('well');
    expect(watched.attempts).toBe(12);
    expect(watched.changes).toEqual(['open', 'half-open', 'open', 'half-open', 'closed']);
  });

  it('does not close on an error that says nothing about the vendor', async () => {
    const watched = await opened();
    pass(OPEN_MS);
    await expect(watched.run(() => Promise.reject(new TypeError('ours')))).rejects.toThrow('ours');
    expect(watched.circuit.status).toBe('open');
  });

  it('that has closed again lets attempts through even if the clock is set back', async () => {
    const watched = await opened();
    pass(OPEN_MS);
    await watched.repeat(1, 'well');
    pass(-OPEN_MS);
    await watched.repeat(1, 'well');
    expect(watched.attempts).toBe(12);
  });

  it('refuses attempts even if the date of the library is behind the clock', async () => {
    let aheadMs = 0;
    const circuit = new CircuitBreaker({ ...systemClock, now: () => Date.now() + aheadMs }, () => undefined);
    for (let time = 0; time < 10; time += 1) {
      await circuit.run(() => Promise.reject(new VendorFault('outage'))).catch(() => undefined);
    }
    aheadMs = 60_000;
    const refused = expect(circuit.run(async () => 'sent')).rejects;
    await refused.toMatchObject({ kind: 'circuit_open', facts: { retryAfter: 1 } });
  });
});
