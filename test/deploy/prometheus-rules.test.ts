import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { ERRORS, type ErrorCode } from '../../src/token/errors.ts';
import { FINDINGS } from '../../src/token/findings.ts';
import { OF_ALL_ACCOUNTS, OF_ONE_ACCOUNT } from '../../src/token/observer.ts';
import { composeServices } from '../support/compose.ts';
import { readFile, tableAfter } from '../support/documents.ts';
import { metricsOfReplica, unknownIn } from '../support/named-metrics.ts';
import { promtoolBinary } from '../support/promtool.ts';
import { FAULT_KINDS } from '../unit/vendor-api/every-fault.ts';

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
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
const alerts = rules.flatMap((rule) => (rule.alert === undefined ? [] : [{ ...rule, alert: rule.alert }]));
const recorded = new Set(rules.flatMap(({ record }) => record ?? []));
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
const FAILED_READS = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => ERRORS[code].status >= 500);
const REFUSALS: readonly string[] = [...OF_ALL_ACCOUNTS, ...OF_ONE_ACCOUNT];
const FAILED_LOGINS = FAULT_KINDS.filter((kind) => !REFUSALS.includes(kind));
const NO_FAILURES = ['success', 'busy', 'circuit_open', ...OF_ONE_ACCOUNT];

/** Alerts whose end does not mean that all is done, or that only the facts show. */
const LASTING = new Set(
  ['AccountsClosed', 'RedisTrouble', 'RedisRefusesWrites', 'RedisLostData', 'ReplicasDiffer'].map(
    (name) => `SdkTokenBroker${name}`,
  ),
);

/** Alerts on what has happened, and not on what goes on: a token, data, or an answer to an app is lost. */
const FACTS = new Set(
  ['InternalErrors', 'TokensExpiredUnrenewed', 'FewTokensExpired', 'RedisLostData'].map(
    (name) => `SdkTokenBroker${name}`,
  ),
);

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
  const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { volumes = [] } = composeServices(ROOT, ['--profile', 'monitoring'])['prometheus'] ?? {};
  for (const { source, target } of volumes) cpSync(source, join(folder, target.replace('/etc/prometheus', '')));
  expect(promtool('check', 'config', join(folder, 'prometheus.yml'))).toMatchObject({
    status: 0,
    output: expect.stringContaining(`${rules.length} rules`),
  });
}, 300_000);

test('each rule has its own name', () => {
  const names = rules.map(({ alert, record }) => alert ?? record);
  expect(names).toEqual([...new Set(names)]);
  expect(alerts.length).toBeGreaterThan(15);
});

const OUTCOMES = {
  'rules about failed reads': [expressions, 'reads_total', '=~', 'internal', FAILED_READS, 4],
  // Without the logins that the circuit breaker refuses at once.
  LoginsFail: [
    expressions,
    'logins_total',
    '=~',
    'unknown',
    FAILED_LOGINS.filter((kind) => kind !== 'circuit_open'),
    4,
  ],
  VendorRefusesLogins: [expressions, 'logins_total', '=~', 'configuration', OF_ALL_ACCOUNTS, 3],
  NoLoginSucceeds: [expressions, 'logins_total', '!~', 'success', NO_FAILURES, 2],
  'panels about failed reads': [queries, 'reads_total', '=~', 'internal', FAILED_READS, 1],
  'panels about failed logins': [queries, 'logins_total', '=~', 'unknown', FAILED_LOGINS, 1],
} as const;

test.each(Object.keys(OUTCOMES) as (keyof typeof OUTCOMES)[])('%s: each list of outcomes is complete', (name) => {
  const [exprs, metric, operator, marker, outcomes, times] = OUTCOMES[name];
  const matcher = new RegExp(`sdk_token_broker_${metric}\\{[^}]*outcome${operator}"([^"]+\\|[^"]+)"`, 'g');
  const all = exprs.flatMap((expr) => [...expr.matchAll(matcher)].map(([, list = '']) => list.split('|').toSorted()));
  expect(all.filter((list) => list.includes(marker))).toEqual(Array(times).fill(outcomes.toSorted()));
});

test('the cases of NoLoginSucceeds have every refusal of one account', () => {
  const tested = tests.flatMap(({ input_series = [] }) => input_series.map(({ series }) => series));
  const refused = tested.filter((series) => series.includes('namespace="single-accounts"'));
  for (const kind of OF_ONE_ACCOUNT) expect(refused).toContainEqual(expect.stringContaining(`outcome="${kind}"`));
});

describe.each(alerts)('$alert', ({ alert, expr }) => {
  const {
    input_series: series = [],
    alert_rule_test: looks = [],
    promql_expr_test: queries = [],
  } = tests.find(({ name }) => `SdkTokenBroker${name}` === alert) ?? {};
  const firing = looks.flatMap(({ alertname, exp_alerts }) => (alertname === alert ? exp_alerts : []));

  test('has a unit test with a case that fires, one just below, one replica at night, and a fault that has ended', () => {
    const cases = new Set(series.map(({ series: name }) => /namespace="([^"]+)"/.exec(name)?.[1]));
    expect([...cases]).toEqual(expect.arrayContaining(['fires', 'below', 'night']));
    expect(firing.length).toBeGreaterThan(0);
    expect(looks.some(({ exp_alerts }) => exp_alerts.length === 0)).toBe(true);
    if (!FACTS.has(alert) && /(increase|rate)\(/.test(expr)) expect(cases).toContain('ended');
  });

  test('keeps the namespace, and no other case of its test fires at any time', () => {
    const namespaces = new Set(firing.map(({ exp_labels }) => exp_labels['namespace']));
    expect(namespaces).not.toContain(undefined);
    for (const name of ['below', 'night', 'small-share', 'ended']) expect(namespaces).not.toContain(name);
    const [query] = queries;
    expect(query?.expr).toContain(`ALERTS{alertname="${alert}",alertstate="firing"}[3h]`);
    expect(new Set(query?.exp_samples.map(({ labels }) => /"(.+)"/.exec(labels)?.[1]))).toEqual(namespaces);
  });
});

test.each(alerts)(
  '$alert needs a duration, and a least number of events if it counts events',
  ({ expr, for: duration }) => {
    expect(duration).toMatch(/^[1-9]\d*m$/);
    // A loss of data is one event, which all replicas find.
    const counted = expr.replace(/max by \(namespace, job, history\) .*/, '');
    const counters = counted.match(/sdk_token_broker_\w+_(total|count|bucket)\b/g) ?? [];
    if (counters.length > 0) expect(counted).toMatch(/>= (3|5|10|20)\n?/);
  },
);

test.each(alerts.filter(({ alert }) => !FACTS.has(alert)))(
  '$alert asks whether its events still come: an alert does not fire long after the end',
  ({ alert, expr }) => {
    const minutes = [...expr.matchAll(/(?:rate|increase)\(\w+(?:\{[^}]*\})?\[(\d+)m\]/g)].map(([, range]) =>
      Number(range),
    );
    const longest = alert === 'SdkTokenBrokerNoLoginSucceeds' ? 5 : 2;
    if (minutes.length > 0) expect(Math.min(...minutes)).toBeLessThanOrEqual(longest);
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

  test('has a runbook: its severity, what apps see, how to confirm it, what to do, and what not to do', () => {
    const [, section] = RUNBOOKS.split(`\n## ${alert}\n`);
    const text = section?.split('\n## ')[0] ?? '';
    expect(text.trimStart()).toMatch(new RegExp(`^\`${labels?.['severity']}\`: `));
    const parts = [...text.matchAll(/^\*\*(Apps see|Confirm|Do|It is over|Do not)\*\*/gm)].map(([, part]) => part);
    const over = LASTING.has(alert) ? ['It is over'] : [];
    expect(parts).toEqual(['Apps see', 'Confirm', 'Do', ...over, 'Do not']);
  });
});

test('docs/runbooks.md begins with the three questions of an operator, and has a runbook for existing alerts only', () => {
  const headings = [...RUNBOOKS.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  const questions = ['A user cannot log in', 'Are all tokens fine tonight?', 'The vendor is down'];
  expect(headings.slice(0, 5)).toEqual([...questions, 'Backup and restore', 'Use the rules']);
  expect(headings.slice(5)).toEqual(alerts.map(({ alert }) => alert));
});

test('docs/runbooks.md explains every kind of loss that RedisLostData names', () => {
  const named = tests
    .flatMap(({ alert_rule_test: looks = [] }) => looks)
    .flatMap(({ exp_alerts }) => exp_alerts.flatMap(({ exp_labels }) => exp_labels['history'] ?? []));
  const explained = tableAfter(RUNBOOKS, '`history`').map(([history = '']) => /`(.+)`/.exec(history)?.[1]);
  expect(explained).toEqual(named);
});

test('docs/runbooks.md has a section for every finding of GET /status', () => {
  const headings = [...RUNBOOKS.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  for (const { runbook } of Object.values(FINDINGS)) expect(headings).toContain(runbook);
});

test('docs/runbooks.md says what to do for every error that an app can get', () => {
  const explained = tableAfter(RUNBOOKS, '`code`').flatMap(([code = '']) =>
    [...code.matchAll(/`(\w+)`/g)].map(([, one]) => one),
  );
  const codes = tableAfter(readFile('docs/errors.md'), '`code`').map(([code = '']) => code.replaceAll('`', ''));
  expect(new Set(explained)).toEqual(new Set(codes));
});

test.each([
  ['rules', expressions, 30],
  ['dashboard', queries, 41],
  ['runbooks', inRunbooks, 9],
] as const)('%s: every query names only metrics and label values that a replica has', async (_, exprs, least) => {
  const metrics = await metricsOfReplica();
  expect(exprs.length).toBeGreaterThanOrEqual(least);
  expect(exprs.flatMap((expr) => unknownIn(expr, metrics, recorded))).toEqual([]);
});
