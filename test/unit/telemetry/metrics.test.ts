import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { type CircuitStatus, ContactHistory, type VendorDomain } from '../../../src/token/contact-history.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { WATCHED } from '../../support/named-metrics.ts';
import { parsePrometheus, sampled } from '../../support/prometheus-text.ts';
import { ACCOUNT, KINDS, LIMITS, READS, reportEveryEvent } from './every-event.ts';

const PREFIX = 'sdk_token_broker_';
const RESULTS = [
  [0, 'success'],
  [10007, 'configuration'],
  [10007, 'clock_skew'],
  [10015, 'too_frequent'],
] as const;

function newMetrics() {
  const metrics = createMetrics({ version: '1.2.3', vendorResults: RESULTS });
  const scraped = async () => (await metrics.scrape()).body;
  const value = async (name: string, labels?: Record<string, string>) =>
    sampled(await scraped(), PREFIX + name, labels);
  return { ...metrics, scraped, value };
}

describe('a scrape', () => {
  test('is in the Prometheus text format, with its content type', async () => {
    const { observer, scrape } = newMetrics();
    reportEveryEvent(observer);
    const { contentType, body } = await scrape();
    expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(parsePrometheus(body).size).toBeGreaterThan(30);
    expect(body.endsWith('\n')).toBe(true);
  });

  test('counts an event once, however often it is repeated', async () => {
    const { observer, scraped, value } = newMetrics();
    reportEveryEvent(observer);
    for (let time = 0; time < 3; time += 1) await scraped();
    for (const outcome of READS) expect(await value('reads_total', { outcome })).toBe(1);
    for (const kind of KINDS) expect(await value('redis_errors_total', { kind })).toBe(1);
    for (const limit of LIMITS) expect(await value('rate_limit_refusals_total', { limit })).toBe(1);
    expect(await value('renewals_total', { cause: 'background', outcome: 'login' })).toBe(1);
  });

  test('shows counters with 0 before their first event, so that a rate sees the first event', async () => {
    const text = await newMetrics().scraped();
    expect(text).toContain(`${PREFIX}logins_total{outcome="configuration",vendor_code="10007"} 0\n`);
    for (const outcome of ['internal', 'vendor_unavailable', 'store_unavailable']) {
      expect(text).toContain(`${PREFIX}reads_total{outcome="${outcome}"} 0\n`);
    }
    for (const labels of ['outcome="broken_answer",vendor_code="none"', 'outcome="clock_skew",vendor_code="10007"']) {
      expect(text).toContain(`${PREFIX}logins_total{${labels}} 0\n`);
    }
    expect(text).toContain(`${PREFIX}renewals_total{cause="background",outcome="vendor_timeout"} 0\n`);
    expect(text).toContain(`${PREFIX}login_duration_seconds_bucket{le="5",outcome="success"} 0\n`);
  });

  test('shows the process, the version and the current size of the cache', async () => {
    const { watch, value, scraped } = newMetrics();
    const cache = { size: 0 };
    let configuration = 'former';
    watch({ ...WATCHED, cache, configuration: () => configuration });
    expect(await value('cached_tokens')).toBe(0);
    cache.size = 3;
    expect(await value('cached_tokens')).toBe(3);
    const build = { version: '1.2.3', node_version: process.version };
    expect(await value('build_info', { ...build, configuration: 'former' })).toBe(1);
    configuration = 'present';
    expect(await value('build_info', { ...build, configuration: 'present' })).toBe(1);
    expect(await scraped()).not.toContain('former');
    expect(await value('replicas_missing')).toBe(0);
    const reason = 'unreachable: CERT_HAS_EXPIRED';
    expect(await value('vendor_failing', { host: 'vendor.example', reason })).toBe(1);
    for (const name of ['process_resident_memory_bytes', 'nodejs_eventloop_lag_seconds']) {
      expect(parsePrometheus(await scraped()).has(name)).toBe(true);
    }
  });
});

describe('times and durations', () => {
  test('are counted in seconds, in the right bucket', async () => {
    const { observer, value } = newMetrics();
    observer.tokenServed('memory', 5_000);
    observer.tokenServed('memory', 5_001);
    observer.tokenServed('redis', 29.5 * 86_400_000);
    observer.tokenServed('redis', 31 * 86_400_000);
    const upTo = (le: number) => value('served_token_expiry_seconds_bucket', { le: String(le) });
    expect([await upTo(5), await upTo(15), await upTo(1_814_400), await upTo(2_592_000)]).toEqual([1, 2, 2, 3]);
    expect(await value('served_token_expiry_seconds_count')).toBe(4);
    observer.loginEnded('success', 0, 1_500, 0, ACCOUNT);
    observer.budgetWaited('foreground', 0);
    observer.budgetWaited('foreground', 250);
    observer.renewalClaimed(45_000);
    expect(await value('login_duration_seconds_sum', { outcome: 'success' })).toBe(1.5);
    expect(await value('login_budget_wait_seconds_sum', { urgency: 'foreground' })).toBe(0.25);
    expect(await value('login_budget_wait_seconds_bucket', { le: '0' })).toBe(1);
    expect(await value('due_lateness_seconds_sum')).toBe(45);
  });
});

describe('a gauge', () => {
  test('shows the latest value for each domain', async () => {
    const { observer, watch, value } = newMetrics();
    const domain = (host: string, state: Partial<VendorDomain>): VendorDomain => ({
      ...new ContactHistory(systemClock),
      host,
      circuit: 'closed',
      clockOffsetMs: 0,
      ...state,
    });
    let circuit: CircuitStatus = 'open';
    watch({
      ...WATCHED,
      vendorDomains: () => [
        domain('cn.example', { lastSuccessAt: 1_700_000_000_250 }),
        domain('de.example:8443', { circuit, clockOffsetMs: -900_500 }),
      ],
    });
    const ofBoth = async (name: string) => [
      await value(name, { host: 'cn.example' }),
      await value(name, { host: 'de.example:8443' }),
    ];
    expect(await ofBoth('vendor_circuit_state')).toEqual([0, 2]);
    circuit = 'half-open';
    expect(await ofBoth('vendor_circuit_state')).toEqual([0, 1]);
    expect(await ofBoth('last_login_timestamp_seconds')).toEqual([1_700_000_000.25, 0]);
    expect(await ofBoth('vendor_clock_offset_seconds')).toEqual([0, -900.5]);
    observer.backlogSeen(40);
    observer.backlogSeen(2);
    expect(await value('due_backlog')).toBe(2);
    observer.overdueSeen(90_500);
    expect(await value('oldest_overdue_seconds')).toBe(90.5);
  });

  test('shows no fault that is over', async () => {
    const { observer, watch, value } = newMetrics();
    const state = { findings: await WATCHED.findings(), domains: WATCHED.vendorDomains() };
    watch({ ...WATCHED, findings: async () => state.findings, vendorDomains: () => state.domains });
    const faults = async () => [
      await value('finding', { code: 'vendor_down', level: 'critical' }),
      await value('vendor_failing', { host: 'vendor.example', reason: 'unreachable: CERT_HAS_EXPIRED' }),
      await value('secrets_refused'),
    ];
    observer.secretsReloaded(false);
    expect(await faults()).toEqual([1, 1, 1]);
    observer.secretsReloaded(true);
    // The last failure stays known.
    state.domains = state.domains.map((domain) => ({ ...domain, failingSince: undefined, failures: 0 }));
    state.findings = [];
    expect(await faults()).toEqual([0, 0, 0]);
  });
});

describe('labels', () => {
  test('show the result codes of the protocol; all other codes of a vendor share one value', async () => {
    const { observer, value, scraped } = newMetrics();
    observer.loginEnded('too_frequent', 10015, 1, 0, ACCOUNT);
    observer.loginEnded('timeout', undefined, 1, 0, ACCOUNT);
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.integer()), (code) => observer.loginEnded('unknown', code, 1, 0, ACCOUNT)),
    );
    const logins = parsePrometheus(await scraped()).get(`${PREFIX}logins_total`)?.samples ?? [];
    const codes = new Set(logins.map(({ labels }) => labels['vendor_code']));
    expect([...codes].filter((code) => !['0', '10007', '10015'].includes(code ?? '')).sort()).toEqual([
      'none',
      'other',
    ]);
    expect(await value('logins_total', { outcome: 'too_frequent', vendor_code: '10015' })).toBe(1);
    expect(await value('logins_total', { outcome: 'timeout', vendor_code: 'none' })).toBe(1);
    expect(await value('logins_total', { outcome: 'unknown' })).toBe(100);
  });

  test('show the code of a BrokerError, and nothing of any other error', async () => {
    const { observer, value, scraped } = newMetrics();
    const canary = 'canary-4f1d';
    observer.readFailed(new BrokerError('vendor_timeout', { detail: canary }));
    observer.readFailed(new TypeError(canary));
    observer.readFailed(canary);
    observer.renewalFailed('due', Object.assign(new Error(canary), { code: canary }));
    expect(await value('reads_total', { outcome: 'vendor_timeout' })).toBe(1);
    expect(await value('reads_total', { outcome: 'internal' })).toBe(2);
    expect(await value('renewals_total', { cause: 'due', outcome: 'internal' })).toBe(1);
    expect(await scraped()).not.toContain(canary);
  });

  test('have a bounded number of values, whatever happens', async () => {
    const { observer, scraped } = newMetrics();
    reportEveryEvent(observer);
    const series = async () => (await scraped()).split('\n').filter((line) => line.startsWith(PREFIX)).length;
    const before = await series();
    for (let code = 1; code < 500; code += 1) {
      reportEveryEvent(observer);
      observer.loginEnded('unknown', code * 7_919, 1, 0, ACCOUNT);
    }
    expect(await series()).toBe(before);
    expect(before).toBeLessThan(600);
  });
});
