import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Urgency } from '../token/login-queue.ts';
import type { LoginOutcome, Observer } from '../token/observer.ts';
import { Tally } from './fast-counters.ts';

const DURATIONS = [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30];
const WAITS = [0, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2];
const CIRCUIT_STATES = { closed: 0, 'half-open': 1, open: 2 } as const;

type VendorEvents = 'loginSent' | 'loginEnded' | 'budgetWaited' | 'budgetDenied' | 'circuitChanged' | 'clockOffsetSeen';

/**
 * Logins, and how the vendor's domains are.
 * @param results the vendor's result codes that are counted by themselves, with what they come to: what else it sends is
 *   `other`
 */
export function vendorMetrics(
  registry: Registry,
  results: ReadonlyMap<number, LoginOutcome>,
): Pick<Observer, VendorEvents> {
  const registers = [registry];
  const logins = new Counter({
    registers,
    name: 'sdk_token_broker_logins_total',
    help: 'Vendor logins, by what they came to and the last result code: one the protocol knows, `other` or `none`.',
    labelNames: ['outcome', 'vendor_code'],
  });
  // Shown from the start: a rate sees no first event of a series that was not there before.
  for (const [code, outcome] of results) logins.inc({ outcome, vendor_code: code }, 0);
  const sent = new Counter({
    registers,
    name: 'sdk_token_broker_login_attempts_total',
    help: 'Login requests sent to the vendor; a login may take up to three.',
  });
  const durations = new Histogram({
    registers,
    name: 'sdk_token_broker_login_duration_seconds',
    help: 'How long vendor logins took, waits for the login budget and repetitions included.',
    labelNames: ['outcome'],
    buckets: DURATIONS,
  });
  const waits = new Histogram({
    registers,
    name: 'sdk_token_broker_login_budget_wait_seconds',
    help: 'How long login attempts had to wait for their turn, by whether an app waited for them.',
    labelNames: ['urgency'],
    buckets: WAITS,
  });
  const denials = new Tally<Urgency>({
    registry,
    name: 'sdk_token_broker_login_budget_denials_total',
    help: 'Login attempts that got no turn, as the login budget was spent, by whether an app waited for them.',
    label: 'urgency',
    values: ['foreground', 'background'],
  });
  const circuits = new Gauge({
    registers,
    name: 'sdk_token_broker_vendor_circuit_state',
    help: "The circuit of a vendor domain: 0 closed, 1 half-open, 2 open, which spares the vendor this replica's logins.",
    labelNames: ['host'],
  });
  const offsets = new Gauge({
    registers,
    name: 'sdk_token_broker_vendor_clock_offset_seconds',
    help: "A vendor domain's clock minus ours; 0 unless they are known to differ.",
    labelNames: ['host'],
  });
  return {
    loginSent: () => sent.inc(),
    loginEnded(outcome, vendorCode, durationMs) {
      const known = vendorCode !== undefined && results.has(vendorCode) ? vendorCode : 'other';
      logins.inc({ outcome, vendor_code: vendorCode === undefined ? 'none' : known });
      durations.observe({ outcome }, durationMs / 1_000);
    },
    budgetWaited: (urgency, waitMs) => waits.observe({ urgency }, waitMs / 1_000),
    budgetDenied: (urgency) => denials.add(urgency),
    circuitChanged: (host, status) => circuits.set({ host }, CIRCUIT_STATES[status]),
    clockOffsetSeen: (host, offsetMs) => offsets.set({ host }, offsetMs / 1_000),
  };
}
