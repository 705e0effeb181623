import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { FINDING_CODES } from '../../src/token/findings.ts';
import { composeServices } from '../support/compose.ts';
import { readFile, tableAfter } from '../support/documents.ts';
import { metricsOfReplica, unknownIn } from '../support/named-metrics.ts';
import { newFolder } from '../support/new-folder.ts';
import { promtoolBinary } from '../support/promtool.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface RuleTest {
  readonly name: string;
  readonly input_series?: readonly { readonly series: string }[];
  readonly alert_rule_test?: readonly {
    readonly alertname: string;
    readonly exp_alerts: readonly { readonly exp_labels: Readonly<Record<string, string>> }[];
  }[];
  readonly promql_expr_test?: readonly { readonly expr: string; readonly exp_samples: readonly { labels: string }[] }[];
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const RULES = 'deploy/helm/sdk-token-broker/files/rules.yml';
const { groups } = parse(readFile(RULES)) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const { tests } = parse(readFile('deploy/prometheus/rules.test.yml')) as { tests: RuleTest[] };
const RUNBOOKS = readFile('docs/runbooks.md');
const { panels } = JSON.parse(readFile('deploy/grafana/dashboard.json')) as {
  panels: { targets?: { expr: string }[] }[];
};
const expressions = rules.map(({ expr }) => expr);
const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
const inRunbooks = [/`([^`\n]*sdk_token_broker[_:][^`\n]*)`/g, /```promql\n(.*?)```/gs].flatMap((quoted) =>
  [...RUNBOOKS.matchAll(quoted)].map(([, query = '']) => query),
);
/** The alerts that pass a finding on. Their runbooks are those of the findings. */
const OF_FINDINGS = new Set(['SdkTokenBrokerCritical', 'SdkTokenBrokerWarning']);
/** Sections of runbooks about what is not over when its alert is: a user, data or a replica is still affected. */
const LASTING = new Set([
  'accounts_closed',
  'redis_unreachable',
  'redis_refuses_writes',
  'redis_lost_data',
  'redis_went_back',
  'configuration_differs',
]);

function promtool(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(promtoolBinary(), args, {
    cwd: ROOT,
    encoding: 'utf8',
    // Go collects garbage less often: promtool needs 30% less CPU, and 170 MB.
    env: { ...process.env, GOGC: '400' },
  });
  return { status, output: stdout + stderr };
}

test('promtool accepts the rules, and all of their unit tests pass', () => {
  const { status, output } = promtool('check', 'rules', '--lint=all', '--lint-fatal', RULES);
  expect({ status, output }).toMatchObject({ status: 0, output: expect.stringContaining(`${rules.length} rules`) });
  expect(promtool('test', 'rules', 'deploy/prometheus/rules.test.yml')).toMatchObject({ status: 0 });
}, 300_000);

test('promtool accepts the example configuration of Prometheus, with the rules where Compose puts them', () => {
  const folder = newFolder();
  const { volumes = [] } = composeServices(ROOT, ['--profile', 'monitoring'])['prometheus'] ?? {};
  for (const { source, target } of volumes) cpSync(source, join(folder, target.replace('/etc/prometheus', '')));
  expect(promtool('check', 'config', join(folder, 'prometheus.yml'))).toMatchObject({
    status: 0,
    output: expect.stringContaining(`${rules.length} rules`),
  });
}, 300_000);

test('there are at most 12 rules, each with its own name', () => {
  const names = rules.map(({ alert }) => alert);
  expect(names).toEqual([...new Set(names)]);
  expect(names.length).toBeLessThanOrEqual(12);
});

describe.each(rules)('$alert', ({ alert, expr, labels, annotations, for: duration }) => {
  const {
    input_series: series = [],
    alert_rule_test: looks = [],
    promql_expr_test: queries = [],
  } = tests.find(({ name }) => `SdkTokenBroker${name}` === alert) ?? {};
  const firing = looks.flatMap(({ alertname, exp_alerts }) => (alertname === alert ? exp_alerts : []));

  test('has a unit test with a case that fires, and one just below', () => {
    const cases = new Set(series.map(({ series: name }) => /namespace="([^"]+)"/.exec(name)?.[1]));
    expect([...cases]).toEqual(expect.arrayContaining(['fires', 'below']));
    expect(firing.length).toBeGreaterThan(0);
    expect(looks.some(({ exp_alerts }) => exp_alerts.length === 0)).toBe(true);
  });

  test('keeps the namespace, and no other case of its test fires at any time', () => {
    const namespaces = new Set(firing.map(({ exp_labels }) => exp_labels['namespace']));
    for (const name of [undefined, 'below', 'small-share', 'ended']) expect(namespaces).not.toContain(name);
    const [query] = queries;
    expect(query?.expr).toContain(`ALERTS{alertname="${alert}",alertstate="firing"}[3h]`);
    expect(new Set(query?.exp_samples.map(({ labels: sample }) => /"(.+)"/.exec(sample)?.[1]))).toEqual(namespaces);
  });

  test('needs a duration, and a least number of events if it counts events', () => {
    expect(duration).toMatch(/^[1-9]\d*[ms]$/);
    // Each lost line is one too many.
    if (expr.includes('increase(') && !expr.includes('log_lines_lost')) expect(expr).toMatch(/>= (5|10|20)\n?/);
  });

  test('has a severity, a summary in one sentence, and the address of its runbook', () => {
    expect(['critical', 'warning']).toContain(labels['severity']);
    expect(annotations['summary']).toMatch(/^[A-Z{].*\.$/);
    const section = OF_FINDINGS.has(alert) ? '{{ $labels.code }}' : alert.toLowerCase();
    expect(annotations['runbook_url']).toBe(`docs/runbooks.md#${section}`);
  });
});

const SECTIONS = [...FINDING_CODES, ...rules.map(({ alert }) => alert).filter((alert) => !OF_FINDINGS.has(alert))];

test.each(SECTIONS)('%s has a runbook: what it is, what apps see, how to confirm it, and what to do', (name) => {
  const [, section] = RUNBOOKS.split(`\n## ${name}\n`);
  const text = section?.split('\n## ')[0] ?? '';
  expect(text.trim()).not.toMatch(/^\*\*|^$/);
  const parts = [...text.matchAll(/^\*\*(Apps see|Confirm|Do|It is over|Do not)\*\*/gm)].map(([, part]) => part);
  const over = LASTING.has(name) ? ['It is over'] : [];
  expect(parts).toEqual(['Apps see', 'Confirm', 'Do', ...over, 'Do not']);
});

test('docs/runbooks.md begins with the three questions of an operator, and has a runbook for what exists only', () => {
  const headings = [...RUNBOOKS.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  const questions = ['A user cannot log in', 'Are all tokens fine tonight?', 'The vendor is down'];
  expect(headings.slice(0, 5)).toEqual([...questions, 'Backup and restore', 'Use the rules']);
  expect(headings.slice(5)).toEqual(SECTIONS);
});

test('docs/runbooks.md says what to do for every error that an app can get', () => {
  const explained = tableAfter(RUNBOOKS, '`code`').flatMap(([code = '']) =>
    [...code.matchAll(/`(\w+)`/g)].map(([, one]) => one),
  );
  const codes = tableAfter(readFile('docs/errors.md'), '`code`').map(([code = '']) => code.replaceAll('`', ''));
  expect(new Set(explained)).toEqual(new Set(codes));
});

test.each([
  ['rules', expressions, 12],
  ['dashboard', queries, 41],
  ['runbooks', inRunbooks, 9],
] as const)('%s: every query names only metrics and label values that a replica has', async (_, exprs, least) => {
  const metrics = await metricsOfReplica();
  expect(exprs.length).toBeGreaterThanOrEqual(least);
  expect(exprs.flatMap((expr) => unknownIn(expr, metrics))).toEqual([]);
});
