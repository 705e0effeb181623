import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { WatchedState } from '../../src/telemetry/watched-state.ts';
import { FINDING_CODES } from '../../src/token/findings.ts';
import { POSSIBLE_RESULTS } from '../../src/vendor-api/answer.ts';
import { reportEveryEvent } from '../unit/telemetry/every-event.ts';
import { type MetricFamily, parsePrometheus } from './prometheus-text.ts';

export const WATCHED: WatchedState = {
  cache: { size: 1 },
  configuration: () => '0123456789ab',
  findings: async () => FINDING_CODES.map((code) => ({ code, message: '', since: 1 })),
  vendorDomains: () => [
    {
      host: 'vendor.example',
      circuit: 'open',
      clockOffsetMs: 0,
      lastSuccessAt: undefined,
      lastFailure: { at: 1, reason: 'unreachable', problem: 'CERT_HAS_EXPIRED' },
      failingSince: 1,
      failures: 1,
    },
  ],
};

/** The metrics of a replica after every possible event, by name. */
export async function metricsOfReplica(): Promise<ReadonlyMap<string, MetricFamily>> {
  const metrics = createMetrics({ version: '1.2.3', vendorResults: POSSIBLE_RESULTS });
  metrics.watch(WATCHED);
  reportEveryEvent(metrics.observer);
  return parsePrometheus((await metrics.scrape()).body);
}

/** The label values that no event decides. */
const OPEN_LABELS = ['job', 'namespace', 'instance', 'host', 'le'];

/**
 * Compares a PromQL expression with the metrics of a replica and the given recorded series.
 * @returns what the expression names and no replica has: metrics, and values of labels
 */
export function unknownIn(expr: string, metrics: ReadonlyMap<string, MetricFamily>): string[] {
  const selectors = [...expr.matchAll(/\b((?:sdk_token_broker|process|nodejs)[a-z0-9_:]+)(?:\{([^}]*)\})?/g)];
  if (selectors.length === 0 && !/\b(up|ALERTS)\b/.test(expr)) return [`no metric in ${expr}`];
  return selectors.flatMap(([, name = '', matchers = '']) => {
    const family = metrics.get(name) ?? histogramOf(name, metrics);
    if (!family) return [name];
    const values = [...matchers.matchAll(/(\w+)(?:=~|!=|=)"([^"]*)"/g)].flatMap(([, label = '', wanted = '']) =>
      OPEN_LABELS.includes(label) ? [] : wanted.split('|').map((value) => ({ label, value })),
    );
    return values
      .filter(({ label, value }) => !family.samples.some(({ labels }) => labels[label] === value))
      .map(({ label, value }) => `${name}{${label}="${value}"}`);
  });
}

function histogramOf(name: string, metrics: ReadonlyMap<string, MetricFamily>): MetricFamily | undefined {
  const family = metrics.get(name.replace(/_(bucket|sum|count)$/, ''));
  return family?.type === 'histogram' ? family : undefined;
}
