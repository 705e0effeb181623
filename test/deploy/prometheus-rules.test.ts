import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { readFile, tableAfter } from '../support/documents.ts';
import { metricsOfReplica, unknownIn } from '../support/named-metrics.ts';
import { promtoolBinary } from '../support/promtool.ts';

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface RuleTest {
  readonly alert_rule_test?: readonly { readonly alertname: string; readonly exp_alerts: readonly unknown[] }[];
  readonly promql_expr_test?: readonly { readonly expr: string; readonly exp_samples: readonly unknown[] }[];
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { groups } = parse(readFile('deploy/prometheus/rules.yml')) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const alerts = rules.flatMap((rule) => (rule.alert === undefined ? [] : [{ ...rule, alert: rule.alert }]));
const recorded = new Set(rules.flatMap(({ record }) => record ?? []));
const { tests } = parse(readFile('deploy/prometheus/rules.test.yml')) as { tests: RuleTest[] };
const RUNBOOKS = readFile('docs/runbooks.md');

function promtool(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(promtoolBinary(), args, {
    cwd: join(ROOT, 'deploy/prometheus'),
    encoding: 'utf8',
  });
  return { status, output: stdout + stderr };
}

test('promtool accepts the rules, and all of their unit tests pass', () => {
  const { status, output } = promtool('check', 'rules', '--lint=all', '--lint-fatal', 'rules.yml');
  expect({ status, output }).toMatchObject({ status: 0, output: expect.stringContaining(`${rules.length} rules`) });
  expect(promtool('test', 'rules', 'rules.test.yml')).toMatchObject({ status: 0 });
}, 300_000);

test('npm run rules -- --runbooks links every alert to your copy of the runbooks, and the unit tests still pass', () => {
  const copy = mkdtempSync(join(tmpdir(), 'rules-'));
  onTestFinished(() => rmSync(copy, { recursive: true }));
  for (const folder of ['scripts', 'deploy']) cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
  const script = join(copy, 'scripts/prometheus-rule.mjs');
  const run = (url: string) => spawnSync(process.execPath, [script, '--runbooks', url], { encoding: 'utf8' }).status;
  expect(run('https://wiki.example/broker?page=runbooks')).toBe(0);
  const ofOperator = readFileSync(
    join(copy, 'deploy/kubernetes/components/prometheus-rule/prometheusrule.yaml'),
    'utf8',
  );
  const links = [...ofOperator.matchAll(/runbook_url: (.+)/g)].map(([, link]) => link);
  expect(links).toEqual(alerts.map(({ alert }) => `https://wiki.example/broker?page=runbooks#${alert.toLowerCase()}`));
  const folder = join(copy, 'deploy/prometheus');
  expect(spawnSync(promtoolBinary(), ['test', 'rules', 'rules.test.yml'], { cwd: folder }).status).toBe(0);
  expect(run('not a URL')).toBe(1);
}, 300_000);

test('promtool accepts the example configuration of Prometheus', () => {
  expect(promtool('check', 'config', 'prometheus.yml')).toMatchObject({ status: 0 });
}, 300_000);

test('each rule has its own name', () => {
  const names = rules.map(({ alert, record }) => alert ?? record);
  expect(names).toEqual([...new Set(names)]);
  expect(alerts.length).toBeGreaterThan(15);
});

test.each(alerts.map(({ alert }) => alert))(
  '%s has a unit test in which it fires, and one in which it does not',
  (alert) => {
    const cases = tests.flatMap((one) => (one.alert_rule_test ?? []).filter(({ alertname }) => alertname === alert));
    expect(cases.some(({ exp_alerts }) => exp_alerts.length > 0)).toBe(true);
    const silent = tests.filter(({ alert_rule_test = [] }) =>
      alert_rule_test.some(({ alertname }) => alertname === alert),
    );
    expect(
      silent.some(({ alert_rule_test = [] }) => alert_rule_test.every(({ exp_alerts }) => exp_alerts.length === 0)),
    ).toBe(true);
  },
);

test.each([...recorded])('%s has a unit test with its value', (record) => {
  const cases = tests.flatMap((one) => (one.promql_expr_test ?? []).filter(({ expr }) => expr === record));
  expect(cases.some(({ exp_samples }) => exp_samples.length > 0)).toBe(true);
});

describe.each(alerts)('$alert', ({ alert, labels, annotations }) => {
  test('has a severity, a summary in one sentence, and the address of its runbook', () => {
    expect(['critical', 'warning']).toContain(labels?.['severity']);
    expect(annotations?.['summary']).toMatch(/^[A-Z{].*\.$/);
    expect(annotations?.['runbook_url']).toBe(`docs/runbooks.md#${alert.toLowerCase()}`);
  });

  test('has a runbook: what apps see, how to confirm it, what to do, and what not to do', () => {
    const [, section] = RUNBOOKS.split(`\n## ${alert}\n`);
    const text = section?.split('\n## ')[0] ?? '';
    const parts = [...text.matchAll(/^\*\*(Apps see|Confirm|Do|Do not)\*\*/gm)].map(([, part]) => part);
    expect(parts).toEqual(['Apps see', 'Confirm', 'Do', 'Do not']);
  });
});

test('docs/runbooks.md begins with the three questions of an operator, and has a runbook for existing alerts only', () => {
  const headings = [...RUNBOOKS.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  const questions = ['A user cannot log in', 'Are all tokens fine tonight?', 'The vendor is down'];
  expect(headings.slice(0, 3)).toEqual(questions);
  expect(headings.slice(4)).toEqual(alerts.map(({ alert }) => alert));
});

test('docs/runbooks.md says what to do for every error that an app can get', () => {
  const explained = tableAfter(RUNBOOKS, '`code`').flatMap(([code = '']) =>
    [...code.matchAll(/`(\w+)`/g)].map(([, one]) => one),
  );
  const codes = tableAfter(readFile('docs/errors.md'), '`code`').map(([code = '']) => code.replaceAll('`', ''));
  expect(new Set(explained)).toEqual(new Set(codes.filter((code) => code !== 'not_found')));
});

test('the rules name only metrics and label values that a replica has', async () => {
  const metrics = await metricsOfReplica();
  expect(rules.flatMap(({ expr }) => unknownIn(expr, metrics, recorded))).toEqual([]);
});

test('the runbooks name only metrics and label values that a replica has', async () => {
  const metrics = await metricsOfReplica();
  const queries = [...RUNBOOKS.matchAll(/`([^`\n]*sdk_token_broker[_:][^`\n]*)`/g)].map(([, query = '']) => query);
  const blocks = [...RUNBOOKS.matchAll(/```promql\n(.*?)```/gs)].map(([, query = '']) => query);
  const all = [...queries, ...blocks];
  expect(all.length).toBeGreaterThan(8);
  expect(all.flatMap((query) => unknownIn(query, metrics, recorded))).toEqual([]);
});

test('docs/metrics.md lists the alerts in the order of the rules', () => {
  const rows = tableAfter(readFile('docs/metrics.md'), 'alert').map(([name = '', severity]) => [
    /\[`(\w+)`\]/.exec(name)?.[1],
    severity,
  ]);
  expect(rows).toEqual(alerts.map(({ alert, labels }) => [alert.replace('SdkTokenBroker', ''), labels?.['severity']]));
});
