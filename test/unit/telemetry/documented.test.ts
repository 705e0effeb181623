import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { ERRORS } from '../../../src/token/errors.ts';
import { KNOWN_RESULTS } from '../../../src/vendor-api/answer.ts';
import { type MetricFamily, parsePrometheus } from '../../support/prometheus-text.ts';
import { tellEverything } from './every-event.ts';

const DOCUMENT = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');

/** The cells of the rows of the table that begins with this cell. */
function tableAfter(firstCell: string): string[][] {
  const [, table = ''] = DOCUMENT.split(`\n| ${firstCell} |`);
  const [, , ...rows] = table.split('\n\n')[0]?.split('\n') ?? [];
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** What a broker shows once everything has happened. */
async function shown(): Promise<[string, MetricFamily][]> {
  const metrics = createMetrics({ version: '1.2.3', vendorResults: KNOWN_RESULTS });
  metrics.watch({ size: 1, bytes: 1 });
  tellEverything(metrics.observer);
  return [...parsePrometheus((await metrics.scrape()).body)];
}

const isOurs = ([name]: [string, MetricFamily]) => name.startsWith('sdk_token_broker_');

test('docs/metrics.md has every metric with its type, its labels and what it says', async () => {
  const code = (await shown()).filter(isOurs).map(([name, { type, help, samples }]) => {
    const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)).filter((label) => label !== 'le'));
    return [name, type, [...labels], help];
  });
  const documented = tableAfter('metric').map(([name = '', type, labels, what]) => {
    return [name.replaceAll('`', ''), type, labels?.match(/\w+/g) ?? [], what];
  });
  expect(documented).toEqual(code);
});

test('docs/metrics.md says of every value of a label what it means', async () => {
  const told = tableAfter('of').map(([, label = '', values = '']) => [label.replaceAll('`', ''), values]);
  const unsaid = (await shown()).filter(isOurs).flatMap(([, { samples }]) =>
    samples.flatMap(({ labels }) =>
      Object.entries(labels)
        .filter(([label]) => !['le', 'host', 'version', 'node_version'].includes(label))
        .filter(([, value]) => !Object.hasOwn(ERRORS, value) && !KNOWN_RESULTS.has(Number(value)))
        .filter(([label, value]) => !told.some(([of, values]) => of === label && values?.includes(`\`${value}\``)))
        .map(([label, value]) => `${label}="${value}"`),
    ),
  );
  expect(unsaid).toEqual([]);
});

test('beside ours there are the metrics of the process alone, and the questions in docs/metrics.md name none that is not there', async () => {
  const names = (await shown()).map(([name]) => name);
  expect(names.filter((name) => !/^(sdk_token_broker|process|nodejs)_/.test(name))).toEqual([]);
  const named = DOCUMENT.match(/sdk_token_broker_\w+/g) ?? [];
  const unknown = named.filter((name) => !names.includes(name.replace(/_bucket$/, '')));
  expect(unknown).toEqual([]);
});
