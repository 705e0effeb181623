import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { composeServices } from '../support/compose.ts';
import { readFile } from '../support/documents.ts';
import { newFolder } from '../support/new-folder.ts';
import { promtoolBinary } from '../support/promtool.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly refId: string }[];
  readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
}

const { panels } = JSON.parse(readFile('deploy/grafana/dashboard.json')) as { panels: Panel[] };
const graphs = panels.filter(({ type }) => type !== 'row');
const queries = graphs.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));

test('the dashboard has the rows that an operator looks for', () => {
  const rows = panels.filter(({ type }) => type === 'row').map(({ title }) => title.split(' / ')[0]);
  expect(rows).toEqual(['Health', 'Traffic', 'Vendor', 'Renewals', 'Redis', 'Process']);
});

test('Prometheus can parse every query of the dashboard', () => {
  const folder = newFolder();
  const rules = queries.map(({ expr }, number) => ({
    record: `query:${number}`,
    expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$namespace', '.*'),
  }));
  const file = join(folder, 'queries.yml');
  writeFileSync(file, stringify({ groups: [{ name: 'queries', rules }] }));
  const { status, stdout, stderr } = spawnSync(promtoolBinary(), ['check', 'rules', file], { encoding: 'utf8' });
  expect({ status, output: stdout + stderr }).toMatchObject({ status: 0 });
}, 300_000);

test('each panel has a title, a description, a unit and the data source of the variable', () => {
  for (const panel of graphs) {
    expect(panel.title).toMatch(/\S/);
    expect(panel.description, panel.title).toMatch(/\.$/);
    expect(panel.fieldConfig?.defaults.unit, panel.title).toMatch(/^(none|s|reqps|percentunit|bytes)$/);
    expect(panel.datasource?.uid, panel.title).toBe(`\${datasource}`);
  }
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
});

test('no panel covers another one', () => {
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
  );
  expect(cells.length).toBe(new Set(cells).size);
  expect(panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
});

test('Grafana is provisioned with the data source and the dashboard', () => {
  const { datasources } = parse(readFile('deploy/grafana/provisioning/datasources/prometheus.yml'));
  expect(datasources).toEqual([expect.objectContaining({ type: 'prometheus', url: 'http://prometheus:9090' })]);
  const { providers } = parse(readFile('deploy/grafana/provisioning/dashboards/sdk-token-broker.yml'));
  const services = composeServices(ROOT, ['--profile', 'monitoring']);
  const mounted = services['grafana']?.volumes?.map(({ target }) => target) ?? [];
  expect(mounted).toContain(`${providers[0].options.path}/dashboard.json`);
  expect(services['grafana']?.environment?.['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH']).toBe(
    `${providers[0].options.path}/dashboard.json`,
  );
}, 300_000);

test('docker-compose.yml starts Prometheus and Grafana with the profile "monitoring" alone, on loopback', () => {
  expect(Object.keys(composeServices(ROOT)).sort()).toEqual(['broker', 'redis', 'simulator']);
  const services = composeServices(ROOT, ['--profile', 'monitoring']);
  expect(Object.keys(services).sort()).toEqual(['broker', 'grafana', 'prometheus', 'redis', 'simulator']);
  for (const [name, service] of Object.entries(services)) {
    expect(service, name).toMatchObject({ read_only: true, cap_drop: ['ALL'] });
    for (const port of service.ports ?? []) expect(port.host_ip, name).toBe('127.0.0.1');
  }
  const { scrape_configs: jobs } = parse(readFile('deploy/prometheus/prometheus.yml'));
  expect(jobs).toEqual([{ job_name: 'sdk-token-broker', static_configs: [{ targets: ['broker:9090'] }] }]);
}, 300_000);
