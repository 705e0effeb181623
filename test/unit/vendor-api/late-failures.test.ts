import { expect, test } from 'vitest';
import { accountId } from '../../../src/token/subject.ts';
import { CircuitBreaker, Domains } from '../../../src/vendor-api/domains.ts';
import { VendorFault } from '../../../src/vendor-api/faults.ts';
import { TestClock } from '../../support/test-clock.ts';

const OPEN_MS = 5_000;
const LATE = 20;

/** A circuit with attempts that were sent before it opened, and that have not ended. */
async function openedBesideLateAttempts() {
  const clock = new TestClock();
  const circuit = new CircuitBreaker(clock, () => undefined);
  const late: ((fault: VendorFault) => void)[] = [];
  const attempts = Array.from({ length: LATE }, (_, number) =>
    circuit
      .run(accountId(`late-${number}`), () => new Promise((_resolve, reject) => late.push(reject)))
      .catch((fault: unknown) => fault),
  );
  for (let number = 0; number < 10; number += 1) {
    const failing = circuit.run(accountId(`account-${number}`), () => Promise.reject(new VendorFault('timeout')));
    await expect(failing).rejects.toThrow(VendorFault);
  }
  expect(circuit.status).toBe('open');
  const failLate = async () => {
    for (const fail of late) fail(new VendorFault('timeout'));
    await Promise.all(attempts);
  };
  return { clock, circuit, failLate };
}

test('failures of attempts from before the circuit opened do not keep it open for longer', async () => {
  const { clock, circuit, failLate } = await openedBesideLateAttempts();
  clock.advance(OPEN_MS - 1);
  await failLate();
  clock.advance(1);
  expect(await circuit.run(accountId('trial'), async () => 'well')).toBe('well');
  expect(circuit.status).toBe('closed');
});

test('failures of attempts from before the circuit opened do not end its trial', async () => {
  const { clock, circuit, failLate } = await openedBesideLateAttempts();
  clock.advance(OPEN_MS);
  let answer = (_answer: string): void => undefined;
  const trial = circuit.run(accountId('trial'), () => new Promise<string>((resolve) => (answer = resolve)));
  await failLate();
  expect(circuit.status).toBe('half-open');
  answer('well');
  expect(await trial).toBe('well');
  expect(circuit.status).toBe('closed');
});

test('an outage of ten minutes has a line when the circuit opens and one when it closes, not one for each trial', async () => {
  const clock = new TestClock();
  const lines: object[] = [];
  const ignore = () => undefined;
  const warn = (fields: object) => lines.push(fields);
  const domains = new Domains({
    baseUrl: new URL('https://vendor.example'),
    regionUrls: new Map(),
    clock,
    log: { debug: ignore, info: ignore, warn, error: ignore },
  });
  const { circuit } = domains.forRegion('DE');
  const fail = (account: string) =>
    circuit.run(accountId(account), () => Promise.reject(new VendorFault('timeout'))).catch(ignore);
  for (let number = 0; number < 10; number += 1) await fail(`account-${number}`);
  for (let trial = 0; trial < 120; trial += 1) {
    clock.advance(OPEN_MS);
    await fail(`trial-${trial}`);
  }
  clock.advance(OPEN_MS);
  await circuit.run(accountId('trial'), async () => 'well');
  const host = 'vendor.example';
  expect(lines).toEqual([
    { host, circuitState: 'open' },
    { host, circuitState: 'closed' },
  ]);
});
