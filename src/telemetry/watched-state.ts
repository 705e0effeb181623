import { Gauge, type Registry } from 'prom-client';
import type { VendorDomain } from '../token/contact-history.ts';
import { type Finding, levelOf } from '../token/findings.ts';
import { reasonOf } from './findings.ts';

/** The values that each scrape reads. */
export interface WatchedState {
  readonly cache: { readonly size: number };
  /** The digest of the present configuration. */
  readonly configuration: () => string;
  readonly findings: () => Promise<readonly Finding[]>;
  readonly vendorDomains: () => readonly VendorDomain[];
}

const CIRCUIT_STATES = { closed: 0, 'half-open': 1, open: 2 } as const;

/** Registers the gauges that read `state` at each scrape. */
export function watchState(registry: Registry, version: string, state: WatchedState): void {
  const { cache, vendorDomains } = state;
  const registers = [registry];
  new Gauge({
    registers,
    name: 'sdk_token_broker_build_info',
    help: 'Always 1. The labels have the versions and a digest of settings and secrets.',
    labelNames: ['version', 'node_version', 'configuration'],
    collect() {
      this.reset();
      this.set({ version, node_version: process.version, configuration: state.configuration() }, 1);
    },
  });
  new Gauge({
    registers,
    name: 'sdk_token_broker_finding',
    help: 'Always 1. Shown while `GET /status` has a finding with this code and level.',
    labelNames: ['code', 'level'],
    async collect() {
      const findings = await state.findings();
      this.reset();
      for (const finding of findings) this.set({ code: finding.code, level: levelOf(finding) }, 1);
    },
  });
  const ofDomains = (name: string, help: string, measure: (domain: VendorDomain) => number) =>
    new Gauge({
      registers,
      name,
      help,
      labelNames: ['host'],
      collect() {
        for (const domain of vendorDomains()) this.set({ host: domain.host }, measure(domain));
      },
    });
  ofDomains(
    'sdk_token_broker_vendor_circuit_state',
    'Circuit breaker of a vendor domain: 0 closed, 1 half-open, 2 open. While it is open, this replica sends no logins there.',
    ({ circuit }) => CIRCUIT_STATES[circuit],
  );
  ofDomains(
    'sdk_token_broker_last_login_timestamp_seconds',
    'Unix time of the last successful login of this replica at a vendor domain; 0 before the first.',
    ({ lastSuccessAt = 0 }) => lastSuccessAt / 1_000,
  );
  ofDomains(
    'sdk_token_broker_vendor_clock_offset_seconds',
    'Clock of a vendor domain minus the clock of this host; 0 unless a difference is known.',
    ({ clockOffsetMs }) => clockOffsetMs / 1_000,
  );
  new Gauge({
    registers,
    name: 'sdk_token_broker_vendor_failing',
    help: 'Always 1. Shown while the logins of this replica at a vendor domain fail, with the reason of the last one.',
    labelNames: ['host', 'reason'],
    collect() {
      this.reset();
      for (const { host, lastFailure, failingSince } of vendorDomains()) {
        if (!lastFailure || failingSince === undefined) continue;
        this.set({ host, reason: reasonOf(lastFailure) }, 1);
      }
    },
  });
  new Gauge({
    registers,
    name: 'sdk_token_broker_cached_tokens',
    help: "Tokens in this replica's memory.",
    collect() {
      this.set(cache.size);
    },
  });
}
