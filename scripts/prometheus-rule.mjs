// npm run rules: writes deploy/prometheus/rules.yml into the component prometheus-rule of Kustomize and into the Helm
//   chart.
// npm run rules -- --runbooks URL: also lets every alert link to URL, where you publish docs/runbooks.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const file = (path) => new URL(`../deploy/${path}`, import.meta.url);
const RULES = file('prometheus/rules.yml');

const { runbooks } = parseArgs({ options: { runbooks: { type: 'string' } } }).values;
if (runbooks !== undefined) {
  if (!/^[a-z/][^\s#"'{}]*$/i.test(runbooks))
    throw new Error('--runbooks must be a URL without spaces, quotes, braces and #');
  for (const path of [RULES, file('prometheus/rules.test.yml')]) {
    const linked = readFileSync(path, 'utf8').replaceAll(/(?<=runbook_url: )\S+(?=#)/g, () => runbooks);
    writeFileSync(path, linked);
  }
}

const head = `# Written by npm run rules. Change deploy/prometheus/rules.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sdk-token-broker
  labels: { app.kubernetes.io/name: sdk-token-broker }
spec:
`;
const rules = readFileSync(RULES, 'utf8');
const groups = rules.slice(rules.indexOf('groups:\n'));
writeFileSync(file('helm/sdk-token-broker/files/rules.yml'), rules);
writeFileSync(
  file('kubernetes/components/prometheus-rule/prometheusrule.yaml'),
  head + groups.replaceAll(/^(?=.)/gm, '  '),
);
