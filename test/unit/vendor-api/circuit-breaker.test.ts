import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { CircuitStatus } from '../../../src/token/contact-history.ts';
import { type AccountId, accountId } from '../../../src/token/subject.ts';
import { circuitBreaker, vendorDomains } from '../../../src/vendor-api/domains.ts';
import { VendorFault } from '../../../src/vendor-api/faults.ts';
import { TestClock } from '../../support/test-clock.ts';
import { FAULT_KINDS, FAULTS } from './every-fault.ts';

const OUTAGES = FAULT_KINDS.filter((kind) => FAULTS[kind][3]);
const ANSWERS = FAULT_KINDS.filter((kind) => !FAULTS[kind][3] && kind !== 'circuit_open');
const OPEN_MS = 5_000;
const ACCOUNT = accountId('account');

let clock: TestClock;
beforeEach(() => {
  clock = new TestClock();
});
const pass = (ms: number) => clock.advance(ms);

/** A circuit breaker that records its status changes and the number of attempts that it lets through. */
class Watched {
  readonly changes: CircuitStatus[] = [];
  readonly circuit = circuitBreaker(clock, (status) => this.changes.push(status));
  attempts = 0;

  /** Each attempt is made by another account, unless the test names one. */
  run(outcome: () => Promise<string>, account = accountId(`account-${this.attempts}`)): Promise<string> {
    return this.circuit.run(account, () => {
      this.attempts += 1;
      return outcome();
    });
  }

  /** Runs an attempt. @returns its value, or the kind of its fault */
  async outcome(kind: 'well' | VendorFault['kind'], account?: AccountId): Promise<string> {
    const attempt = kind === 'well' ? async () => 'well' : () => Promise.reject(new VendorFault(kind));
    return this.run(attempt, account).catch((error: unknown) =>
      error instanceof VendorFault ? error.kind : String(error),
    );
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
  it('while at most 80 % of the last 20 attempts failed, not counting well-formed answers', async () => {
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

describe('a few accounts', () => {
  it('do not open the circuit, however many of their attempts fail', async () => {
    const watched = new Watched();
    for (let attempt = 0; attempt < 200; attempt += 1) {
      await watched.outcome('timeout', accountId(`bad-${attempt % 8}`));
    }
    expect(watched.changes).toEqual([]);
    for (let good = 0; good < 36; good += 1) {
      await watched.outcome('well');
      for (let bad = 0; bad < 25; bad += 1) await watched.outcome('timeout', accountId(`bad-${bad % 8}`));
    }
    expect(watched.changes).toEqual([]);
  });
});

describe('an account whose trial attempt failed', () => {
  const BAD = accountId('bad');

  it('leaves the next one to other accounts for another 5 s, so it cannot keep the circuit open for them', async () => {
    const watched = await opened();
    for (let round = 0; round < 3; round += 1) {
      pass(OPEN_MS);
      if (round > 0) {
        expect(() => watched.circuit.throwIfOpen(BAD)).toThrow(expect.objectContaining({ facts: { retryAfter: 5 } }));
        expect(await watched.outcome('timeout', BAD)).toBe('circuit_open');
        expect(() => watched.circuit.throwIfOpen(ACCOUNT)).not.toThrow();
        pass(OPEN_MS);
      }
      expect(await watched.outcome('timeout', BAD)).toBe('timeout');
    }
    pass(OPEN_MS);
    expect(await watched.outcome('timeout', BAD)).toBe('circuit_open');
    expect(await watched.outcome('well', ACCOUNT)).toBe('well');
    expect(watched.circuit.status).toBe('closed');
  });

  it('gets a trial attempt like all others the next time that the circuit opens', async () => {
    const watched = await opened();
    pass(OPEN_MS);
    await watched.outcome('timeout', BAD);
    pass(OPEN_MS);
    await watched.outcome('well');
    await watched.repeat(10, 'outage');
    pass(OPEN_MS);
    expect(await watched.outcome('well', BAD)).toBe('well');
  });
});

it('the circuit opens by the latest attempts of the 20 accounts that tried last', async () => {
  const watched = new Watched();
  await watched.outcome('outage', ACCOUNT);
  await watched.repeat(1, 'outage');
  await watched.repeat(4, 'well');
  await watched.outcome('outage', ACCOUNT);
  await watched.repeat(15, 'outage');
  // The second account has left: 16 of the other 20 saw an outage.
  expect(watched.changes).toEqual([]);
  await watched.repeat(1, 'outage');
  expect(watched.changes).toEqual(['open']);
});

describe('an open circuit', () => {
  it('leaves its trial attempt to one account while that account waits for its turn', async () => {
    const { circuit } = await opened();
    const other = accountId('other');
    pass(OPEN_MS);
    const leave = circuit.enter(ACCOUNT);
    expect(() => circuit.enter(other)).toThrow(expect.objectContaining({ facts: { retryAfter: 1 } }));
    expect(() => circuit.enter(ACCOUNT)).not.toThrow();
    leave();
    circuit.enter(other)();
    expect(() => circuit.enter(ACCOUNT)).not.toThrow();
  });

  it('lets no attempt through for 5 s, and says how long it stays open', async () => {
    const { circuit, ...watched } = await opened();
    for (const [waitedMs, retryAfter] of [
      [0, 5],
      [1_500, 4],
      [3_499, 1],
    ] as const) {
      pass(waitedMs);
      expect(() => circuit.throwIfOpen(ACCOUNT)).toThrow(VendorFault);
      const refused = expect(circuit.run(ACCOUNT, () => Promise.reject(new Error('an attempt was made')))).rejects;
      await refused.toMatchObject({ kind: 'circuit_open', facts: { retryAfter } });
    }
    expect(watched.attempts).toBe(10);
  });

  it.each([-3_600_000, 3_600_000])(
    'lets the trial attempt through after 5 s, although the clock is set by %i ms',
    async (ms) => {
      const watched = await opened();
      clock.jump(ms);
      pass(OPEN_MS - 1);
      await expect(watched.run(async () => 'well')).rejects.toMatchObject({ facts: { retryAfter: 1 } });
      pass(1);
      expect(await watched.outcome('well')).toBe('well');
    },
  );

  it('lets one trial attempt through after 5 s, and refuses the others until it ends', async () => {
    const watched = await opened();
    pass(OPEN_MS);
    let answer: (outcome: string) => void = () => undefined;
    const found = watched.run(() => new Promise((resolve) => (answer = resolve)));
    for (let other = 0; other < 20; other += 1) expect(await watched.outcome('well')).toBe('circuit_open');
    expect(watched.attempts).toBe(11);
    expect(watched.circuit.status).toBe('half-open');
    expect(() => watched.circuit.throwIfOpen(ACCOUNT)).toThrow(expect.objectContaining({ facts: { retryAfter: 1 } }));
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
});

it('failures of attempts from before the circuit opened neither keep it open for longer nor end its trial', async () => {
  const watched = new Watched();
  const late: ((fault: VendorFault) => void)[] = [];
  const attempts = Array.from({ length: 20 }, (_, number) =>
    watched.circuit
      .run(accountId(`late-${number}`), () => new Promise((_resolve, reject) => late.push(reject)))
      .catch(() => undefined),
  );
  await watched.repeat(10, 'timeout');
  expect(watched.circuit.status).toBe('open');
  const failLate = async (from: number, to: number) => {
    for (const fail of late.slice(from, to)) fail(new VendorFault('timeout'));
    await Promise.all(attempts.slice(from, to));
  };
  pass(OPEN_MS - 1);
  await failLate(0, 10);
  pass(1);
  let answer = (_answer: string): void => undefined;
  const trial = watched.run(() => new Promise((resolve) => (answer = resolve)));
  await failLate(10, 20);
  expect(watched.circuit.status).toBe('half-open');
  answer('well');
  await trial;
  expect(watched.circuit.status).toBe('closed');
});

it('an outage of ten minutes has a line when the circuit opens and one when it closes, not one for each trial', async () => {
  const lines: object[] = [];
  const ignore = () => undefined;
  const log = { debug: ignore, info: ignore, warn: (fields: object) => lines.push(fields), error: ignore };
  const baseUrl = new URL('https://vendor.example');
  const { circuit } = vendorDomains({ baseUrl, regionUrls: new Map(), clock, log }).forRegion('DE');
  const fail = (account: string) =>
    circuit.run(accountId(account), () => Promise.reject(new VendorFault('timeout'))).catch(ignore);
  for (let number = 0; number < 10; number += 1) await fail(`account-${number}`);
  for (let trial = 0; trial < 120; trial += 1) {
    pass(OPEN_MS);
    await fail(`trial-${trial}`);
  }
  pass(OPEN_MS);
  await circuit.run(ACCOUNT, async () => 'well');
  expect(lines).toEqual(['open', 'closed'].map((circuitState) => ({ host: 'vendor.example', circuitState })));
});
