import { randomBytes } from 'node:crypto';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { loadConfig } from '../../src/config/config.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { FINDING_CODES } from '../../src/token/findings.ts';
import { readFile } from '../support/documents.ts';
import { type HelmResult, type HelmTask, runHelm } from '../support/helm-engine.ts';
import { type Resource, schemaViolations } from '../support/kubernetes-schemas.ts';
import { newFolder } from '../support/new-folder.ts';

interface Manifest extends Resource {
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: the schemas have checked it.
  readonly spec?: any;
}
interface Egress {
  readonly ports: readonly { readonly port: number; readonly protocol: string }[];
  readonly to: readonly { readonly ipBlock?: { readonly cidr: string; readonly except: readonly string[] } }[];
}
type Values = Readonly<Record<string, unknown>>;

const CHART = fileURLToPath(new URL('../../deploy/helm/sdk-token-broker', import.meta.url));
const NAMESPACE = 'cameras';
const valuesIn = (name: string): Values => parse(readFile(`deploy/helm/sdk-token-broker/${name}`));
const DEFAULTS = valuesIn('values.yaml');
const { version } = JSON.parse(readFile('package.json'));

const DIGEST = `sha256:${'0a'.repeat(32)}`;
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const JWT = {
  VENDOR_BASE_URL: 'https://vendor.example',
  VENDOR_APP_ID: 'your-app-id',
  SESSION_JWT_JWKS_URL: 'https://accounts.example/.well-known/jwks.json',
  SESSION_JWT_ISSUER: 'https://accounts.example',
  SESSION_JWT_AUDIENCE: 'sdk-token-broker',
};
const SECRETS: Readonly<Record<string, string>> = {
  ADMIN_TOKENS: 'cloud:0123456789abcdef0123456789abcdef',
  REDIS_URL: 'rediss://broker:password@redis.example:6379',
  TOKEN_ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
  VENDOR_APP_TOKEN: 'app-token',
  VENDOR_APP_KEY: 'app-key',
  VENDOR_APPS: '{"ios":{"appId":"1","appToken":"t","appKey":"k"},"android":{"appId":"2","appToken":"t","appKey":"k"}}',
};

const TRY_OUT = valuesIn('values-try-out.yaml') as Record<string, object>;
const REDIS_IMAGE = 'mirror.example/library/redis:8-alpine';

/** The values that must work. */
const GOOD = {
  'few values': { settings: JWT },
  'values-production.yaml': valuesIn('values-production.yaml'),
  'values-try-out.yaml': { ...TRY_OUT, tryOut: { ...TRY_OUT['tryOut'], redisImage: REDIS_IMAGE } },
  'every value for production': {
    image: { repository: 'mirror.example/sdk-token-broker', digest: DIGEST },
    imagePullSecrets: [{ name: 'registry-login' }],
    settings: { ...JWT, RATE_LIMIT_PER_MINUTE: 1_000_000, API_DOCS: true, OTEL_EXPORTER_OTLP_TIMEOUT: 5000 },
    certificates: { pem: PEM },
    autoscaling: { minReplicas: 3, maxReplicas: 12, cpu: 1 },
    resources: { limits: { cpu: 2 } },
    ingress: {
      enabled: true,
      className: 'nginx',
      annotations: { a: 'b' },
      host: 'broker.example',
      path: '/sdk-token',
      tlsSecret: 'tls',
    },
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
    prometheusRule: {
      enabled: true,
      labels: { release: 'prometheus' },
      runbooks: 'https://wiki.example/runbooks',
      levels: { redis_lost_data: 'critical', vendor_slow: 'silent' },
    },
    podAnnotations: { 'sidecar.istio.io/inject': 'false' },
    nodeSelector: { 'kubernetes.io/arch': 'arm64' },
    tolerations: [{ key: 'dedicated', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
  },
  // With Istio, Kyverno, a private registry, a secret store and a cost centre.
  'the values of a company': {
    image: { repository: 'registry.example/mirror/sdk-token-broker', tag: 'of-today', pullPolicy: 'Always' },
    imagePullSecrets: [{ name: 'registry-login' }],
    fullnameOverride: 'sdk-token-broker-eu',
    commonLabels: { team: 'cameras', 'example.com/cost-center': '4711' },
    podLabels: { 'sidecar.istio.io/inject': 'true' },
    podAnnotations: { 'proxy.istio.io/config': '{"holdApplicationUntilProxyStarts":true}' },
    settings: JWT,
    secrets: { existing: 'from-the-vault' },
    resources: { requests: { cpu: '250m', memory: '384Mi' }, limits: { cpu: 1, memory: '1Gi' } },
    networkPolicy: { api: [{ podSelector: { matchLabels: { istio: 'ingressgateway' } } }] },
    serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/broker' } },
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' }, interval: '15s' },
    priorityClassName: 'business-critical',
    extraEnv: [{ name: 'TZ', value: 'Asia/Shanghai' }],
    extraVolumes: [{ name: 'zones', configMap: { name: 'zones' } }],
    extraVolumeMounts: [{ name: 'zones', mountPath: '/usr/share/zoneinfo', readOnly: true }],
  },
  'the Gateway API, a Secret and a CA of your own': {
    settings: {
      VENDOR_BASE_URL: 'https://vendor.example',
      SESSION_MODE: 'forward',
      SESSION_FORWARD_URL: 'https://cloud.example/me',
    },
    secrets: {
      existing: 'from-the-vault',
      keys: ['ADMIN_TOKENS', 'REDIS_URL', 'TOKEN_ENCRYPTION_KEYS', 'VENDOR_APPS'],
    },
    certificates: { configMap: 'company-ca' },
    gateway: {
      enabled: true,
      parentRefs: [{ name: 'public', namespace: 'gateways' }],
      hostnames: ['broker.example'],
      path: '/sdk-token',
    },
  },
  'one replica without Redis, and secrets in the values': {
    settings: JWT,
    secrets: {
      values: { ADMIN_TOKENS: SECRETS['ADMIN_TOKENS'], VENDOR_APP_TOKEN: 'app-token', VENDOR_APP_KEY: 'app-key' },
    },
    autoscaling: { enabled: false },
    replicas: 1,
    networkPolicy: { enabled: false },
  },
} satisfies Record<string, Values>;

const IN_REDIS = ['REDIS_URL', 'TOKEN_ENCRYPTION_KEYS'];
/** What Helm must refuse: settings besides the good ones, or other values, with a part of the message. */
const BAD_SETTINGS: readonly (readonly [string, Values, string])[] = [
  ['a misspelled setting', { VENDOR_BASE_ULR: 'x' }, 'VENDOR_BASE_ULR is not allowed'],
  ['a secret among the settings', { REDIS_URL: 'redis://a' }, 'settings.REDIS_URL'],
  ['a secret of OpenTelemetry', { OTEL_EXPORTER_OTLP_HEADERS: 'a=b' }, 'settings.OTEL_EXPORTER_OTLP_HEADERS'],
  ['another port than that of the probes', { PORT: 80 }, 'PORT is not allowed'],
  ['a number that is too large', { VENDOR_MAX_RPS: 100_000 }, 'settings.VENDOR_MAX_RPS'],
  ['a URL without a scheme', { VENDOR_BASE_URL: 'vendor.example' }, 'settings.VENDOR_BASE_URL'],
  ['a mode without its settings', { SESSION_MODE: 'introspection' }, 'SESSION_INTROSPECTION_URL is required'],
];
const BAD_VALUES: readonly (readonly [string, Values, string])[] = [
  ['no settings', { settings: {} }, 'VENDOR_BASE_URL is required'],
  ['a misspelled value', { imagePullSecret: 'login' }, 'imagePullSecret is not allowed'],
  ['a tag besides a digest', { image: { tag: '1.2.3', digest: DIGEST } }, 'image.digest and image.tag are both set'],
  ['a digest that is none', { image: { digest: 'sha256:abc' } }, 'image.digest'],
  ['two sources of secrets', { secrets: { existing: 'a', values: { REDIS_URL: 'b' } } }, 'secrets: Must not validate'],
  ['a secret that does not exist', { secrets: { values: { PASSWORD: 'a' } } }, 'secrets'],
  ['an Ingress without a host', { ingress: { enabled: true } }, 'ingress.host'],
  ['a route without a Gateway', { gateway: { enabled: true, hostnames: ['a.example'] } }, 'gateway.parentRefs'],
  ['no key for the tokens', { secrets: { keys: ['REDIS_URL'] } }, 'TOKEN_ENCRYPTION_KEYS is not among the secrets'],
  ['two sources of apps', { secrets: { keys: [...IN_REDIS, 'VENDOR_APPS'] } }, 'VENDOR_APPS names all apps'],
  ['more replicas at least than at most', { autoscaling: { minReplicas: 9 } }, 'minReplicas is 9'],
  ['no least number of replicas', { autoscaling: { minReplicas: 0 } }, 'autoscaling.minReplicas'],
  ['memory in words', { resources: { limits: { memory: 'lots' } } }, 'resources.limits.memory'],
  ['requests that are a list', { resources: { requests: ['100m'] } }, 'resources.requests'],
  ['no Ingress at all', { ingress: null }, 'ingress is required'],
  ['no path of the Ingress', { ingress: { path: null } }, 'path is required'],
  ['no image', { image: null }, 'image is required'],
  ['a policy of pulls that does not exist', { image: { pullPolicy: 'Sometimes' } }, 'image.pullPolicy'],
  ['a repository with a digest in it', { image: { repository: 'a@sha256:b' } }, 'image.repository'],
  ['a name of objects in capitals', { fullnameOverride: 'Broker' }, 'fullnameOverride'],
  ['a label that selects the replicas', { podLabels: { 'app.kubernetes.io/name': 'a' } }, 'podLabels'],
  ['a label that is a number', { commonLabels: { year: 2026 } }, 'commonLabels.year'],
  ['a label with a space', { commonLabels: { team: 'a b' } }, 'commonLabels.team'],
  ['a setting among the variables', { extraEnv: [{ name: 'LOG_LEVEL', value: 'debug' }] }, 'extraEnv.0'],
  ['a variable without a name', { extraEnv: [{ value: 'a' }] }, 'name is required'],
  ['variables that are no list', { extraEnv: { TZ: 'UTC' } }, 'extraEnv'],
  ['a volume without a name', { extraVolumes: [{ emptyDir: {} }] }, 'name is required'],
  ['scrapes that are too rare', { serviceMonitor: { interval: '5m' } }, 'serviceMonitor.interval'],
  ['a level that does not exist', { prometheusRule: { levels: { vendor_slow: 'loud' } } }, 'levels.vendor_slow'],
  ['an Ingress host with a path', { ingress: { host: 'a.example/b' } }, 'ingress.host'],
  ['several replicas without Redis', { secrets: { keys: ['ADMIN_TOKENS'] } }, 'Set autoscaling.enabled to false'],
];
const BAD = [
  ...BAD_SETTINGS.map(([name, settings, reason]) => [name, { settings: { ...JWT, ...settings } }, reason] as const),
  ...BAD_VALUES.map(([name, values, reason]) => [name, { settings: JWT, ...values }, reason] as const),
];

type GoodName = keyof typeof GOOD;
const NAMES = Object.keys(GOOD) as GoodName[];
const results = new Map<string, HelmResult>();
let folder: string;

// One start of the JVM for all tests of this file.
beforeAll(() => {
  folder = newFolder();
  const tasks = new Map<string, HelmTask>();
  const file = (name: string, values: Values) => {
    const path = join(folder, `${name.replaceAll(/\W/g, '-')}.yaml`);
    writeFileSync(path, stringify(values));
    return path;
  };
  for (const [name, values] of Object.entries<Values>(GOOD)) {
    // The library lints a chart with the values of the chart alone.
    const copy = join(folder, name.replaceAll(/\W/g, '-'));
    cpSync(CHART, copy, { recursive: true });
    writeFileSync(join(copy, 'values.yaml'), stringify(withDefaults(values)));
    tasks.set(`lint ${name}`, ['lint', copy]);
    tasks.set(name, ['template', CHART, 'sdk-token-broker', NAMESPACE, file(name, values)]);
    tasks.set(`notes ${name}`, ['notes', CHART, 'sdk-token-broker', NAMESPACE, file(name, values)]);
  }
  for (const [name, values] of BAD)
    tasks.set(name, ['template', CHART, 'sdk-token-broker', NAMESPACE, file(name, values)]);
  const values = file('two', { settings: JWT });
  const withRules = file('rules', { settings: JWT, prometheusRule: { enabled: true } });
  tasks.set('another name', ['template', CHART, 'europe', NAMESPACE, withRules]);
  tasks.set('package', ['package', CHART, folder]);
  const archive = join(folder, `sdk-token-broker-${version}.tgz`);
  tasks.set('from the package', ['template', archive, 'sdk-token-broker', NAMESPACE, values]);
  for (const [index, result] of runHelm([...tasks.values()]).entries())
    results.set([...tasks.keys()][index] ?? '', result);
}, 300_000);

/** The values of the chart, where `values` has no other ones. */
function withDefaults(values: Values): Values {
  const pairs = Object.entries(DEFAULTS).map(([key, value]) =>
    isObject(value) ? [key, { ...value, ...(values[key] as object) }] : [key, values[key] ?? value],
  );
  return Object.fromEntries(pairs);
}

const isObject = (value: unknown): value is object => typeof value === 'object' && !Array.isArray(value);
const manifestsIn = (text: string): Manifest[] => parseAllDocuments(text).map((document) => document.toJS());

function rendered(name: string): Manifest[] {
  const { succeeded, text } = results.get(name) ?? { succeeded: false, text: 'not run' };
  if (!succeeded) throw new Error(text);
  return manifestsIn(text);
}

function only(manifests: readonly Manifest[], kind: string, name = /./): Manifest {
  const [found, ...others] = manifests.filter((one) => one.kind === kind && name.test(one.metadata.name));
  if (!found || others.length > 0) throw new Error(`There are ${others.length + (found ? 1 : 0)} of ${kind}`);
  return found;
}

const podOf = (manifests: readonly Manifest[]) => only(manifests, 'Deployment', /sdk-token-broker/).spec.template.spec;

describe.each(NAMES)('with %s', (name) => {
  test('the chart passes the strict lint', () => {
    expect(results.get(`lint ${name}`)).toMatchObject({ succeeded: true });
  });

  test('the chart prints only resources that the schemas of Kubernetes, Gateway API and Prometheus Operator allow', () => {
    expect(rendered(name).length).toBeGreaterThan(6);
    expect(rendered(name).flatMap(schemaViolations)).toEqual([]);
  });

  test('every container has a read-only root and a limit of memory, no capabilities, and does not run as root', () => {
    for (const { kind, spec } of rendered(name)) {
      if (kind !== 'Deployment') continue;
      const pod = spec.template.spec;
      expect(pod.automountServiceAccountToken).toBe(false);
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      for (const { securityContext, resources } of pod.containers) {
        expect(securityContext).toEqual({
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
        });
        expect(resources.limits.memory).toBeDefined();
      }
    }
    expect(podOf(rendered(name)).securityContext).toMatchObject({ runAsUser: 1000, runAsGroup: 1000 });
  });

  test('the broker accepts the settings, with the secrets that it finds in its files', () => {
    const manifests = rendered(name);
    const settings = Object.entries(only(manifests, 'ConfigMap', /-settings$/).data ?? {});
    const own = manifests.find(({ kind }) => kind === 'Secret');
    const environment = settings.flatMap(([variable, value]): [string, string][] => {
      expect(typeof value).toBe('string');
      const secret = /^(.+)_FILE$/.exec(variable)?.[1];
      if (/^(NODE_EXTRA_CA_CERTS|OTEL_.*)$/.test(variable)) return [];
      expect(VARIABLES).toHaveProperty(secret ?? variable);
      if (secret === undefined) return [[variable, value]];
      expect(value).toBe(`/run/secrets/sdk-token-broker/${secret}`);
      return [[secret, (own?.stringData ?? SECRETS)[secret] ?? '']];
    });
    const { vendor } = loadConfig({ NODE_ENV: 'production', ...Object.fromEntries(environment) });
    expect(vendor).toBeDefined();
  });

  test('the notes name only objects that exist, and every command that they need', () => {
    const notes = results.get(`notes ${name}`)?.text ?? '';
    const manifests = rendered(name);
    const exists = (kind: string, of = '') =>
      manifests.some((one) => one.kind.toLowerCase() === kind && one.metadata.name === of);
    const named = [...notes.matchAll(/ (deployment|service)\/(\S+)/g)];
    expect(named.length).toBe(4);
    for (const [, kind = '', of] of named) expect(exists(kind, of), of).toBe(true);
    for (const [, namespace] of notes.matchAll(/kubectl -n (\S+)/g)) expect(namespace).toBe(NAMESPACE);
    const secret = podOf(manifests).volumes[0].secret.secretName;
    expect(notes.includes(`create secret generic ${secret} --from-file=secrets/`)).toBe(!exists('secret', secret));
    const internal = only(manifests, 'Service', /-internal$/).metadata.name;
    expect(notes).toContain(`http://${internal}.${NAMESPACE}:9090`);
    const route = manifests.find(({ kind }) => kind === 'Ingress' || kind === 'HTTPRoute');
    expect(notes).toContain(route ? 'https://broker.example/sdk-token' : 'the values ingress or gateway');
  });
});

test.each([...NAMES, 'another name'])(
  'with %s, Services, budget, policy and autoscaler lead to the replicas',
  (name) => {
    const manifests = rendered(name).filter(({ metadata }) => metadata.name !== 'try-out');
    const { metadata, spec } = only(manifests, 'Deployment');
    const replicas = spec.selector.matchLabels;
    expect(spec.template.metadata.labels).toMatchObject(replicas);
    expect(spec.template.spec.serviceAccountName).toBe(only(manifests, 'ServiceAccount').metadata.name);
    const services = manifests.filter(({ kind }) => kind === 'Service');
    expect(services.map((service) => service.spec.selector)).toEqual([replicas, replicas]);
    expect(only(manifests, 'PodDisruptionBudget').spec.selector.matchLabels).toEqual(replicas);
    for (const { kind, spec: other } of manifests) {
      if (kind === 'NetworkPolicy') expect(other.podSelector.matchLabels).toEqual(replicas);
      if (kind === 'HorizontalPodAutoscaler') expect(other.scaleTargetRef.name).toBe(metadata.name);
    }
    // No Service has both ports.
    const targets = services.map((service) =>
      service.spec.ports.map(({ targetPort }: { targetPort: string }) => targetPort),
    );
    expect(targets).toEqual([['api'], ['internal']]);
  },
);

describe('the schemas of Kubernetes', () => {
  const service = (spec: unknown) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' }, spec });

  test.each([
    ['a wrong type', { ports: [{ port: 'eighty' }] }, 'data/spec/ports/0/port must be'],
    ['a missing field', { ports: [{ name: 'api' }] }, 'data/spec/ports/0 must have required property'],
    ['a misspelled field', { selectors: { app: 'a' } }, 'unknown field /spec/selectors'],
    [
      'a misspelled field in a list',
      { ports: [{ port: 80, targetport: 80 }] },
      'unknown field /spec/ports/0/targetport',
    ],
  ])('refuse %s', (_, spec, violation) => {
    expect(schemaViolations(service(spec))).toEqual([expect.stringContaining(violation)]);
  });

  test('refuse a kind that they do not have', () => {
    expect(schemaViolations({ ...service({}), apiVersion: 'v2' })).toHaveLength(1);
  });
});

test.each(BAD)('Helm refuses %s, and says why', (name, _, reason) => {
  const { succeeded, text } = results.get(name) ?? {};
  expect(succeeded).toBe(false);
  expect(text).toContain(reason);
});

test('the PrometheusRule has the rules of the chart, with your labels, your runbooks and your levels', () => {
  const { metadata, spec } = only(rendered('every value for production'), 'PrometheusRule');
  expect(metadata.labels).toMatchObject({ release: 'prometheus' });
  const text = JSON.stringify(spec).replaceAll('https://wiki.example/runbooks#', 'docs/runbooks.md#');
  const { groups } = parse(readFile('deploy/helm/sdk-token-broker/files/rules.yml'));
  const [critical, warning] = groups[0].rules;
  const moved = 'redis_lost_data|vendor_slow';
  critical.expr = `max by (namespace, job, code) (sdk_token_broker_finding{level="critical",code!~"${moved}"} or sdk_token_broker_finding{code=~"redis_lost_data"}) > 0`;
  warning.expr = `max by (namespace, job, code) (sdk_token_broker_finding{level="warn",code!~"${moved}"}) > 0`;
  expect(JSON.parse(text)).toEqual({ groups });
  expect(JSON.stringify(spec)).not.toContain('docs/runbooks.md');
});

test('the chart has a level for each finding', () => {
  expect(Object.keys((DEFAULTS['prometheusRule'] as { levels: object }).levels)).toEqual(FINDING_CODES);
  const { properties } = JSON.parse(readFile('deploy/helm/sdk-token-broker/values.schema.json'));
  expect(properties.prometheusRule.properties.levels.propertyNames.enum).toEqual(FINDING_CODES);
});

test('the ServiceMonitor scrapes the internal Service under the job name that the rules expect', () => {
  const manifests = rendered('every value for production');
  const { metadata, spec } = only(manifests, 'ServiceMonitor');
  expect(metadata.labels).toMatchObject({ release: 'prometheus' });
  const services = manifests.filter(({ kind, metadata: { labels = {} } }) => {
    const wanted = Object.entries(spec.selector.matchLabels);
    return kind === 'Service' && wanted.every(([label, value]) => labels[label] === value);
  });
  expect(services.map((service) => service.metadata.name)).toEqual(['sdk-token-broker-internal']);
  expect(services[0]?.metadata.labels?.[spec.jobLabel]).toBe('sdk-token-broker');
  expect(spec.endpoints).toEqual([
    expect.objectContaining({ port: services[0]?.spec.ports[0].name, path: '/metrics' }),
  ]);
});

test('a replica has probes on the public port, and time to end', () => {
  const { strategy, template } = only(rendered('few values'), 'Deployment').spec;
  const [{ ports, readinessProbe, livenessProbe, lifecycle }] = template.spec.containers;
  expect(ports).toEqual([
    { name: 'api', containerPort: Number(VARIABLES.PORT.default) },
    { name: 'internal', containerPort: Number(VARIABLES.ADMIN_PORT.default) },
  ]);
  expect(readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'api' });
  expect(livenessProbe).toMatchObject({ httpGet: { path: '/livez', port: 'api' }, failureThreshold: 6 });
  const [command, sleepSeconds] = lifecycle.preStop.exec.command;
  expect(command).toBe('sleep');
  // A replica ends 12 s after the signal at the latest.
  expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(Number(sleepSeconds) + 12);
  expect(strategy.rollingUpdate.maxUnavailable).toBe(0);
  expect(readFile('Dockerfile')).toContain('\nUSER 1000:1000\n');
});

test('the replicas of one version spread over zones and nodes, and start also where that is impossible', () => {
  const { selector, template } = only(rendered('few values'), 'Deployment').spec;
  expect(template.spec.topologySpreadConstraints).toEqual(
    ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((topologyKey) => ({
      maxSkew: 1,
      topologyKey,
      whenUnsatisfiable: 'ScheduleAnyway',
      labelSelector: selector,
      matchLabelKeys: ['pod-template-hash'],
    })),
  );
});

describe.each(['few values', 'values-production.yaml'])('the NetworkPolicy with %s', (name) => {
  const policy = () => only(rendered(name), 'NetworkPolicy').spec;

  test('opens the public port to the Ingress alone, and the internal port to Prometheus and the customer cloud', () => {
    const { policyTypes, ingress } = policy();
    expect(policyTypes).toEqual(['Ingress', 'Egress']);
    const namespace = (of: string) => ({ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': of } } });
    const pods = (of: string) => ({ podSelector: { matchLabels: { 'app.kubernetes.io/name': of } } });
    const prometheus = { ...namespace('monitoring'), ...pods('prometheus') };
    const cloud = { ...namespace('customer-cloud'), ...(name === 'few values' ? {} : pods('accounts')) };
    expect(ingress).toEqual([
      { ports: [{ port: 'api', protocol: 'TCP' }], from: [namespace('ingress-nginx')] },
      { ports: [{ port: 'internal', protocol: 'TCP' }], from: [prometheus, cloud] },
    ]);
  });

  test('lets a replica reach DNS, Redis, and HTTPS outside private networks', () => {
    const egress: Egress[] = policy().egress;
    for (const { to } of egress) expect(to.length).toBeGreaterThan(0);
    const rule = (port: number) => egress.filter(({ ports }) => ports.some((one) => one.port === port));
    expect(rule(53).map(({ ports }) => ports.map(({ protocol }) => protocol))).toEqual([['UDP', 'TCP']]);
    expect(rule(6379)).toHaveLength(1);
    const blocks = rule(443).flatMap(({ to }) => to.map(({ ipBlock }) => ipBlock));
    expect(blocks.map((block) => block?.cidr)).toEqual(['0.0.0.0/0', '::/0']);
    // The address of the cloud's metadata, and the nodes and pods of most clusters.
    expect(blocks[0]?.except).toEqual(expect.arrayContaining(['169.254.0.0/16', '10.0.0.0/8', '192.168.0.0/16']));
  });
});

test('with values-try-out.yaml, the broker may reach the Redis, the vendor and the cloud that its settings name', () => {
  const manifests = rendered('values-try-out.yaml');
  const { metadata, spec } = only(manifests, 'Service', /^try-out$/);
  const settings = only(manifests, 'ConfigMap').data ?? {};
  const { REDIS_URL = '' } = only(manifests, 'Secret').stringData ?? {};
  for (const [url = '', port] of [
    [REDIS_URL, 'redis'],
    [settings['VENDOR_BASE_URL'], 'vendor'],
    [settings['SESSION_JWT_JWKS_URL'], 'cloud'],
  ]) {
    const service = spec.ports.find(({ targetPort }: { targetPort: string }) => targetPort === port);
    expect(new URL(url).host).toBe(`${metadata.name}:${service.port}`);
  }
  const { template } = only(manifests, 'Deployment', /^try-out$/).spec;
  expect(template.metadata.labels).toEqual(spec.selector);
  expect(only(manifests, 'NetworkPolicy').spec.egress).toContainEqual({
    to: [{ podSelector: { matchLabels: template.metadata.labels } }],
  });
  const [redis, simulator] = template.spec.containers;
  expect(redis.image).toBe(REDIS_IMAGE);
  expect(simulator.image).toBe(podOf(manifests).containers[0].image);
});

test('values-production.yaml has no secret, and the commands for it name objects that exist', () => {
  const manifests = rendered('values-production.yaml');
  expect(manifests.map(({ kind }) => kind)).not.toContain('Secret');
  const [, commands = ''] = /\n## 3\. .*?```sh\n(.*?)```/s.exec(readFile('docs/production.md')) ?? [];
  const named = [...commands.matchAll(/(?:create secret \w+|deployment\/)\s*([\w-]+)/g)].map(([, of]) => of);
  const { secretName } = podOf(manifests).volumes[0].secret;
  const { tls } = only(manifests, 'Ingress').spec;
  const deployment = only(manifests, 'Deployment').metadata.name;
  expect(named).toEqual([secretName, tls[0].secretName, ...Array(named.length - 2).fill(deployment)]);
});

test('the rules count the replicas of the Deployment, whatever its release is called', () => {
  const chart = rendered('another name');
  const deployments = JSON.stringify(only(chart, 'PrometheusRule').spec).match(/deployment=\\"[^"]+\\"/g);
  expect(new Set(deployments)).toEqual(new Set([`deployment=\\"${only(chart, 'Deployment').metadata.name}\\"`]));
});

test('each value of the chart has another one than the default in values that must work', () => {
  const leaves = (value: unknown, path: string): string[] =>
    isObject(value) && value !== null && Object.keys(value).length > 0
      ? Object.entries(value).flatMap(([key, one]) => leaves(one, path === '' ? key : `${path}.${key}`))
      : [path];
  const at = (values: unknown, path: string) =>
    path.split('.').reduce((value, key) => (value as Values | undefined)?.[key], values);
  const untried = leaves(DEFAULTS, '').filter((path) => {
    const tried = Object.values<Values>(GOOD).map((values) => at(values, path));
    return tried.every((value) => value === undefined || stringify(value) === stringify(at(DEFAULTS, path)));
  });
  expect(untried.filter((path) => !path.startsWith('prometheusRule.levels.'))).toEqual([]);
});

test('the image is the one of the version, or the one with your digest', () => {
  expect(podOf(rendered('few values')).containers[0].image).toBe(`sdk-token-broker:${version}`);
  const { containers, imagePullSecrets } = podOf(rendered('every value for production'));
  expect(containers[0].image).toBe(`mirror.example/sdk-token-broker@${DIGEST}`);
  expect(imagePullSecrets).toEqual([{ name: 'registry-login' }]);
});

test('the values of a company are in its objects', () => {
  const manifests = rendered('the values of a company');
  for (const { kind, metadata } of manifests) {
    expect(metadata.name, kind).toMatch(/^sdk-token-broker-eu/);
    expect(metadata.labels, kind).toMatchObject({ team: 'cameras', 'example.com/cost-center': '4711' });
  }
  const { metadata, spec } = only(manifests, 'Deployment').spec.template;
  expect(metadata.labels).toMatchObject({ team: 'cameras', 'sidecar.istio.io/inject': 'true' });
  const [{ image, imagePullPolicy, env, volumeMounts, resources }] = spec.containers;
  expect([image, imagePullPolicy]).toEqual(['registry.example/mirror/sdk-token-broker:of-today', 'Always']);
  const { resources: wanted, networkPolicy } = GOOD['the values of a company'];
  expect(resources).toEqual(wanted);
  expect(only(manifests, 'NetworkPolicy').spec.ingress[0].from).toEqual(networkPolicy.api);
  const [rule] = only(rendered('the Gateway API, a Secret and a CA of your own'), 'HTTPRoute').spec.rules;
  expect(rule.matches).toEqual([{ path: { type: 'PathPrefix', value: '/sdk-token' } }]);
  expect(env).toEqual([{ name: 'TZ', value: 'Asia/Shanghai' }]);
  expect(spec.priorityClassName).toBe('business-critical');
  expect(spec.volumes).toContainEqual({ name: 'zones', configMap: { name: 'zones' } });
  expect(volumeMounts).toContainEqual({ name: 'zones', mountPath: '/usr/share/zoneinfo', readOnly: true });
  expect(only(manifests, 'ServiceAccount').metadata).toMatchObject({
    annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/broker' },
  });
  expect(only(manifests, 'ServiceMonitor').spec.endpoints).toEqual([expect.objectContaining({ interval: '15s' })]);
});

test('a large number stays a number with all of its digits', () => {
  const { data } = only(rendered('every value for production'), 'ConfigMap', /-settings$/);
  expect(data).toMatchObject({
    RATE_LIMIT_PER_MINUTE: '1000000',
    API_DOCS: 'true',
    OTEL_EXPORTER_OTLP_TIMEOUT: '5000',
  });
});

test.each([
  ['every value for production', 'sdk-token-broker-certificates'],
  ['the Gateway API, a Secret and a CA of your own', 'company-ca'],
])('with %s, the broker trusts the private CA in the ConfigMap %s', (name, configMap) => {
  const manifests = rendered(name);
  const { volumes, containers } = podOf(manifests);
  const path = only(manifests, 'ConfigMap', /-settings$/).data?.['NODE_EXTRA_CA_CERTS'];
  const volume = volumes.find((one: { configMap?: { name: string } }) => one.configMap?.name === configMap);
  const mount = containers[0].volumeMounts.find((one: { name: string }) => one.name === volume.name);
  expect(path).toBe(`${mount.mountPath}/ca.crt`);
  const own = manifests.find(({ metadata }) => metadata.name === configMap);
  expect(own?.data).toEqual(name.includes('production') ? { 'ca.crt': PEM } : undefined);
});

test('a new setting and a new certificate replace the replicas, and the number of replicas is left to the autoscaler', () => {
  const [one, other] = (['few values', 'values-production.yaml'] as const).map(
    (name) => only(rendered(name), 'Deployment').spec,
  );
  const checksum = (spec: Manifest['spec']) => spec.template.metadata.annotations['checksum/settings'];
  expect(checksum(one)).toBe(checksum(other));
  expect(checksum(one)).not.toBe(checksum(only(rendered('every value for production'), 'Deployment').spec));
  expect(one.replicas).toBeUndefined();
  const alone = rendered('one replica without Redis, and secrets in the values');
  expect(only(alone, 'Deployment').spec.replicas).toBe(1);
  expect(alone.map(({ kind }) => kind)).not.toContain('HorizontalPodAutoscaler');
});

test('two releases in one namespace share no object and no replica', () => {
  const nameOf = ({ kind, metadata }: Manifest) => `${kind}/${metadata.name}`;
  const [one, other] = [rendered('few values'), rendered('another name')];
  expect(one.map(nameOf).filter((name) => other.map(nameOf).includes(name))).toEqual([]);
  const labels = [one, other].map((manifests) => only(manifests, 'Deployment').spec.selector.matchLabels);
  expect(labels[0]).not.toEqual(labels[1]);
});

test('the packaged chart has the version of the broker, and prints the same objects', () => {
  expect(parse(readFile('deploy/helm/sdk-token-broker/Chart.yaml'))).toMatchObject({ version, appVersion: version });
  expect(rendered('from the package')).toEqual(rendered('few values'));
});
