import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { ERRORS } from '../../../src/token/errors.ts';
import { POSSIBLE_RESULTS } from '../../../src/vendor-api/answer.ts';
import { readFile } from '../../support/documents.ts';
import { metricsOfReplica } from '../../support/named-metrics.ts';
import { type MetricFamily, parsePrometheus } from '../../support/prometheus-text.ts';
import { EVENTS, reportEvents, reportEveryEvent } from './every-event.ts';

const DOCUMENT = readFile('docs/metrics.md');

/** Whether an outcome may be the code of any error. */
const isErrorCode = (name: string, value: string) =>
  /_(?:session_checks|reads|renewals)_total$/.test(name) && Object.hasOwn(ERRORS, value);
const isOwn = ([name]: [string, MetricFamily]) => name.startsWith('sdk_token_broker_');
/** Each label of each sample of the broker's own metrics. */
const labelsOf = (metrics: [string, MetricFamily][]) =>
  metrics
    .filter(isOwn)
    .flatMap(([name, { samples }]) =>
      samples.flatMap(({ labels }) => Object.entries(labels).map(([label, value]) => ({ name, label, value }))),
    );

test.each(Object.keys(EVENTS) as (keyof typeof EVENTS)[])('the event %s changes a metric', async (event) => {
  const metrics = createMetrics({ version: '1.2.3', vendorResults: POSSIBLE_RESULTS });
  const own = async () => [...parsePrometheus((await metrics.scrape()).body)].filter(isOwn);
  const before = await own();
  reportEvents(metrics.observer, event);
  expect(await own()).not.toEqual(before);
});

test('a counter shows each value of its labels from the start, but for codes of errors', async () => {
  const metrics = createMetrics({ version: '1.2.3', vendorResults: POSSIBLE_RESULTS });
  const shown = async () => {
    const counters = [...parsePrometheus((await metrics.scrape()).body)].filter(([, { type }]) => type === 'counter');
    const values = labelsOf(counters)
      .filter(({ name, label, value }) => label !== 'vendor_code' && !isErrorCode(name, value))
      .map(({ name, label, value }) => `${name}{${label}="${value}"}`);
    return [...new Set(values)].toSorted();
  };
  const atStart = await shown();
  reportEveryEvent(metrics.observer);
  expect(await shown()).toEqual(atStart);
});

/** The process reports it: `test/integration/secrets-reload.test.ts`. */
const TESTED_ELSEWHERE = ['secretsReloaded'];

/** All code in a folder, but for the files whose paths contain `except`. */
function codeIn(folder: string, except: string): string {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const chosen = files.filter((path) => path.endsWith('.ts') && !path.includes(except));
  return chosen.map((path) => readFile(`${folder}/${path}`)).join('\n');
}

test('every event is reported by some code, and expected by a test of that code', () => {
  const [source, tests] = [codeIn('src', 'telemetry/'), codeIn('test/unit', 'telemetry/')];
  const isReported = (event: string) => ['(', ',', ')'].some((next) => source.includes(`.${event}${next}`));
  const isTested = (event: string) => tests.includes(event) || TESTED_ELSEWHERE.includes(event);
  expect(Object.keys(EVENTS).filter((event) => !isReported(event))).toEqual([]);
  expect(Object.keys(EVENTS).filter((event) => !isTested(event))).toEqual([]);
});

test('a counter is called _total, and a histogram by its unit', async () => {
  const endings = { counter: /_total$/, histogram: /_(?:seconds|bytes)$/, gauge: /(?<!_total)$/ };
  const wrong = [...(await metricsOfReplica())]
    .filter(isOwn)
    .filter(([name, { type }]) => !endings[type as 'counter'].test(name));
  expect(wrong).toEqual([]);
});

test('all other metrics are those of the process, and docs/metrics.md names only metrics that exist', async () => {
  const names = [...(await metricsOfReplica())].map(([name]) => name);
  expect(names.filter((name) => !/^(sdk_token_broker|process|nodejs)_/.test(name))).toEqual([]);
  const named = DOCUMENT.match(/sdk_token_broker_\w+/g) ?? [];
  const unknown = named.filter((name) => !names.includes(name.replace(/_bucket$/, '')));
  expect(unknown).toEqual([]);
});

test('the dashboard for Grafana shows every metric', async () => {
  const { panels } = JSON.parse(readFile('deploy/grafana/dashboard.json')) as {
    readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[];
  };
  const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)).join('\n');
  const names = [...(await metricsOfReplica())].filter(isOwn).map(([name]) => name);
  expect(names.filter((name) => !new RegExp(`\\b${name}(_bucket)?\\{`).test(queries))).toEqual([]);
});
