import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { ERRORS } from '../../../src/token/errors.ts';
import { KNOWN_RESULTS, POSSIBLE_RESULTS } from '../../../src/vendor-api/answer.ts';
import { readFile, tableAfter } from '../../support/documents.ts';
import { WATCHED } from '../../support/named-metrics.ts';
import { type MetricFamily, parsePrometheus } from '../../support/prometheus-text.ts';
import { EVENTS, reportEvents, reportEveryEvent } from './every-event.ts';

const DOCUMENT = readFile('docs/metrics.md');

/** The metrics of a broker after every possible event. */
async function allMetrics(): Promise<[string, MetricFamily][]> {
  const metrics = createMetrics({ version: '1.2.3', vendorResults: POSSIBLE_RESULTS });
  metrics.watch(WATCHED);
  reportEveryEvent(metrics.observer);
  return [...parsePrometheus((await metrics.scrape()).body)];
}

/**
 * Whether the document says that an outcome may be the code of any error. It lists the outcomes of other metrics one by
 * one.
 */
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

test('docs/metrics.md lists every metric with its type, labels and help text', async () => {
  const code = (await allMetrics()).filter(isOwn).map(([name, { type, help, samples }]) => {
    const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)).filter((label) => label !== 'le'));
    return [name, type, [...labels], help];
  });
  const documented = tableAfter(DOCUMENT, 'metric').map(([name = '', type, labels, what]) => {
    return [name.replaceAll('`', ''), type, labels?.match(/\w+/g) ?? [], what];
  });
  expect(documented).toEqual(code);
});

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

test('every event is reported somewhere', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  const code = files
    .filter((path) => !path.startsWith('telemetry/'))
    .map((path) => readFile(`src/${path}`))
    .join('\n');
  const reported = (event: string) => ['(', ',', ')'].some((next) => code.includes(`.${event}${next}`));
  expect(Object.keys(EVENTS).filter((event) => !reported(event))).toEqual([]);
});

test('a counter is called _total, and a histogram by its unit', async () => {
  const endings = { counter: /_total$/, histogram: /_(?:seconds|bytes)$/, gauge: /(?<!_total)$/ };
  const wrong = (await allMetrics()).filter(isOwn).filter(([name, { type }]) => !endings[type as 'counter'].test(name));
  expect(wrong).toEqual([]);
});

test('docs/metrics.md explains every value of a label', async () => {
  const explained = tableAfter(DOCUMENT, 'of').map(([, label = '', values = '']) => [
    label.replaceAll('`', ''),
    values,
  ]);
  const missing = labelsOf(await allMetrics())
    .filter(({ label }) => !['le', 'host', 'version', 'node_version', 'configuration'].includes(label))
    .filter(({ name, value }) => !isErrorCode(name, value) && !KNOWN_RESULTS.has(Number(value)))
    .filter(({ label, value }) => !explained.some(([of, values]) => of === label && values?.includes(`\`${value}\``)))
    .map(({ label, value }) => `${label}="${value}"`);
  expect(missing).toEqual([]);
});

test('all other metrics are those of the process, and docs/metrics.md names only metrics that exist', async () => {
  const names = (await allMetrics()).map(([name]) => name);
  expect(names.filter((name) => !/^(sdk_token_broker|process|nodejs)_/.test(name))).toEqual([]);
  const named = DOCUMENT.match(/sdk_token_broker_\w+/g) ?? [];
  const unknown = named.filter((name) => !names.includes(name.replace(/_bucket$/, '')));
  expect(unknown).toEqual([]);
});
