import { Gauge, type Registry } from 'prom-client';
import type { VendorDomain } from '../token/contact-history.ts';
import { reasonOf } from './findings.ts';

/** The values that each scrape reads. */
export interface WatchedState {
  readonly cache: { readonly size: number; readonly bytes: number };
  /** The digest of the present configuration. */
  readonly configuration: () => string;
  /** Number of replicas that ended without a shutdown; `undefined` if the store does not answer. */
  readonly missingReplicas: () => Promise<number | undefined>;
  readonly vendorDomains: () => readonly VendorDomain[];
}

/** Registers the gauges that read `state` at each scrape. */
export function watchState(registry: Registry, version: string, state: WatchedState): void {
  const { cache, vendorDomains } = state;
  const registers = [registry];
  new Gauge({
    registers,
    name: 'sdk_token_broker_build_info',
    help: 'Always 1, with the version of the service and of Node.js, and a digest of settings and secrets, as labels.',
    labelNames: ['version', 'node_version', 'configuration'],
    collect() {
      this.reset();
      this.set({ version, node_version: process.version, configuration: state.configuration() }, 1);
    },
  });
  new Gauge({
    registers,
    name: 'sdk_token_broker_replicas_missing',
    help: 'Replicas that ended without a shutdown in the last 15 minutes, and that no replica of this name has replaced.',
    async collect() {
      const missing = await state.missingReplicas();
      if (missing !== undefined) this.set(missing);
    },
  });
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
  new Gauge({
    registers,
    name: 'sdk_token_broker_cached_tokens_bytes',
    help: "Approximate size of the tokens in this replica's memory, in bytes; limited by `CACHE_MAX_MB`.",
    collect() {
      this.set(cache.bytes);
    },
  });
}
