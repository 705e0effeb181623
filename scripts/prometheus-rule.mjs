// Writes deploy/kubernetes/components/prometheus-rule/prometheusrule.yaml from deploy/prometheus/rules.yml: npm run rules.
import { readFileSync, writeFileSync } from 'node:fs';

const head = `# Written by npm run rules. Change deploy/prometheus/rules.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sdk-token-broker
  labels: { app.kubernetes.io/name: sdk-token-broker }
spec:
`;
const rules = readFileSync(new URL('../deploy/prometheus/rules.yml', import.meta.url), 'utf8');
const groups = rules.slice(rules.indexOf('groups:\n'));
const target = new URL('../deploy/kubernetes/components/prometheus-rule/prometheusrule.yaml', import.meta.url);
writeFileSync(target, head + groups.replaceAll(/^(?=.)/gm, '  '));
