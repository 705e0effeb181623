import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/config/config.ts';
import { VARIABLES, type Variable } from '../../src/config/variables.ts';
import { readFile } from '../support/documents.ts';
import { type Resource, schemaViolations } from '../support/kubernetes-schemas.ts';
import { systemBinary } from '../support/system-binary.ts';

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly securityContext: unknown;
  readonly resources: { readonly limits: Readonly<Record<string, string>> };
  readonly readinessProbe: { readonly httpGet?: unknown };
  readonly livenessProbe: {
    readonly httpGet: unknown;
    readonly periodSeconds: number;
    readonly failureThreshold: number;
  };
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly envFrom: readonly { readonly configMapRef: { readonly name: string } }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface PodSpec {
  readonly containers: readonly [Container, ...Container[]];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly topologySpreadConstraints: readonly unknown[];
  readonly volumes: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[];
}

interface Egress {
  readonly ports: readonly { readonly port: number | string; readonly protocol: string }[];
  readonly to: readonly { readonly ipBlock?: { readonly cidr: string; readonly except: readonly string[] } }[];
}

interface Manifest extends Resource {
  readonly data?: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: the schemas have checked it.
  readonly spec?: any;
}

const variables: readonly [string, Variable<unknown>][] = Object.entries(VARIABLES);

const OVERLAYS = ['overlays/try-out', 'overlays/production'] as const;
const FOLDERS = ['base', ...OVERLAYS] as const;
const outputs = new Map<string, readonly Manifest[]>();

beforeAll(() => {
  const program = systemBinary({ program: 'kustomize', need: 'The tests of deploy/kubernetes need kustomize' });
  for (const folder of FOLDERS) {
    const path = fileURLToPath(new URL(`../../deploy/kubernetes/${folder}`, import.meta.url));
    const output = execFileSync(program, ['build', path], { encoding: 'utf8' });
    outputs.set(
      folder,
      parseAllDocuments(output).map((document) => document.toJS()),
    );
  }
}, 300_000);

const built = (folder: string) => outputs.get(folder) ?? [];

function only(folder: string, kind: string, name = /^sdk-token-broker/): Manifest {
  const [found, ...others] = built(folder).filter(({ kind: of, metadata }) => of === kind && name.test(metadata.name));
  if (!found || others.length > 0) throw new Error(`${folder} has ${others.length + (found ? 1 : 0)} of ${kind}`);
  return found;
}

const podOf = (deployment: Manifest): PodSpec => deployment.spec.template.spec;

describe('the validation', () => {
  const service = (spec: unknown) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' }, spec });

  test('accepts a valid resource', () => {
    expect(schemaViolations(service({ selector: { app: 'a' }, ports: [{ port: 80, targetPort: 'api' }] }))).toEqual([]);
  });

  test.each([
    ['a wrong type', { ports: [{ port: 'eighty' }] }, 'data/spec/ports/0/port must be'],
    ['a missing field', { ports: [{ name: 'api' }] }, 'data/spec/ports/0 must have required property'],
    ['a misspelled field', { selectors: { app: 'a' } }, 'unknown field /spec/selectors'],
    [
      'a misspelled field in a list',
      { ports: [{ port: 80, targetport: 80 }] },
      'unknown field /spec/ports/0/targetport',
    ],
  ])('reports %s', (_, spec, violation) => {
    expect(schemaViolations(service(spec))).toEqual([expect.stringContaining(violation)]);
  });

  test('reports a kind without a schema', () => {
    expect(schemaViolations({ apiVersion: 'v2', kind: 'Service', metadata: { name: 'a' } })).toHaveLength(1);
  });
});

describe.each(FOLDERS)('kustomize build %s', (folder) => {
  test('prints only resources that the schemas of Kubernetes allow', () => {
    expect(built(folder).length).toBeGreaterThan(6);
    expect(built(folder).flatMap(schemaViolations)).toEqual([]);
  });

  test('runs the broker with two Services, a ServiceAccount, policies and an autoscaler', () => {
    const kinds = built(folder)
      .filter(({ metadata }) => metadata.name.startsWith('sdk-token-broker'))
      .map(({ kind }) => kind);
    expect(kinds).toEqual(
      expect.arrayContaining([
        ...['ConfigMap', 'Deployment', 'HorizontalPodAutoscaler', 'NetworkPolicy', 'PodDisruptionBudget'],
        ...['Service', 'Service', 'ServiceAccount'],
      ]),
    );
    expect(kinds.filter((kind) => kind === 'Service')).toHaveLength(2);
  });

  test('restricts every container: read-only root, no capabilities, not root', () => {
    const deployments = built(folder).filter(({ kind }) => kind === 'Deployment');
    for (const deployment of deployments) {
      const pod = podOf(deployment);
      expect(pod.automountServiceAccountToken).toBe(false);
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      for (const container of pod.containers) {
        expect(container.securityContext).toEqual({
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
        });
        expect(container.resources.limits['memory']).toBeDefined();
      }
    }
    expect(podOf(only(folder, 'Deployment')).securityContext).toMatchObject({ runAsUser: 1000, runAsGroup: 1000 });
    expect(readFile('Dockerfile')).toContain('\nUSER 1000:1000\n');
  });

  test('probes the public port, and gives a replica time to end', () => {
    const pod = podOf(only(folder, 'Deployment'));
    const [container] = pod.containers;
    expect(container.readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'api' });
    expect(container.livenessProbe).toMatchObject({ httpGet: { path: '/livez', port: 'api' }, failureThreshold: 6 });
    const [command, sleepSeconds] = container.lifecycle.preStop.exec.command;
    expect(command).toBe('sleep');
    // A replica ends 12 s after the signal at the latest.
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(Number(sleepSeconds) + 12);
    expect(only(folder, 'Deployment').spec.strategy.rollingUpdate.maxUnavailable).toBe(0);
  });

  test('connects Services, disruption budget, policy and autoscaler to the replicas', () => {
    const deployment = only(folder, 'Deployment');
    const labels = deployment.spec.template.metadata.labels;
    expect(deployment.spec.selector.matchLabels).toEqual(labels);
    const services = built(folder).filter(
      ({ kind, metadata }) => kind === 'Service' && metadata.name.startsWith('sdk-token-broker'),
    );
    for (const service of services) expect(service.spec.selector).toEqual(labels);
    expect(only(folder, 'PodDisruptionBudget').spec.selector.matchLabels).toEqual(labels);
    expect(only(folder, 'NetworkPolicy').spec.podSelector.matchLabels).toEqual(labels);
    expect(only(folder, 'HorizontalPodAutoscaler').spec.scaleTargetRef.name).toBe(deployment.metadata.name);
    expect(deployment.spec.replicas).toBeUndefined();
    expect(podOf(deployment).serviceAccountName).toBe(only(folder, 'ServiceAccount').metadata.name);
    // The port of each Service, and no Service with both.
    const ports = services.map(({ spec }) => spec.ports.map(({ targetPort }: { targetPort: string }) => targetPort));
    expect(ports).toEqual([['api'], ['internal']]);
    expect(podOf(deployment).containers[0].ports).toEqual([
      { name: 'api', containerPort: Number(VARIABLES.PORT.default) },
      { name: 'internal', containerPort: Number(VARIABLES.ADMIN_PORT.default) },
    ]);
  });

  test('opens the public port to the Ingress alone, and the internal port to Prometheus and the customer cloud', () => {
    const { policyTypes, ingress } = only(folder, 'NetworkPolicy').spec;
    expect(policyTypes).toEqual(['Ingress', 'Egress']);
    expect(ingress).toHaveLength(2);
    expect(ingress[0]).toEqual({
      ports: [{ port: 'api', protocol: 'TCP' }],
      from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'ingress-nginx' } } }],
    });
    expect(ingress[1].ports).toEqual([{ port: 'internal', protocol: 'TCP' }]);
    const namespaces = ingress[1].from.map(
      (peer: { namespaceSelector: { matchLabels: Record<string, string> } }) =>
        peer.namespaceSelector.matchLabels['kubernetes.io/metadata.name'],
    );
    expect(namespaces).toEqual(['monitoring', 'customer-cloud']);
    expect(ingress[1].from[0].podSelector.matchLabels).toEqual({ 'app.kubernetes.io/name': 'prometheus' });
  });

  test('lets a replica reach DNS, Redis, and HTTPS outside private networks', () => {
    const { egress } = only(folder, 'NetworkPolicy').spec as { egress: Egress[] };
    for (const { to } of egress) expect(to.length).toBeGreaterThan(0);
    const rule = (port: number) => egress.filter(({ ports }) => ports.some((one) => one.port === port));
    expect(rule(53)).toHaveLength(1);
    expect(rule(53)[0]?.ports.map(({ protocol }) => protocol)).toEqual(['UDP', 'TCP']);
    expect(rule(6379)).toHaveLength(1);
    const blocks = rule(443).flatMap(({ to }) => to.map(({ ipBlock }) => ipBlock));
    expect(blocks.map((block) => block?.cidr)).toEqual(['0.0.0.0/0', '::/0']);
    // The address of the cloud's metadata, and the nodes and pods of most clusters.
    expect(blocks[0]?.except).toEqual(expect.arrayContaining(['169.254.0.0/16', '10.0.0.0/8', '192.168.0.0/16']));
  });

  test('spreads the replicas of one version over zones and nodes, and starts them also where that is impossible', () => {
    const { topologySpreadConstraints } = podOf(only(folder, 'Deployment'));
    const { matchLabels } = only(folder, 'Deployment').spec.selector;
    expect(topologySpreadConstraints).toEqual(
      ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((topologyKey) => ({
        maxSkew: 1,
        topologyKey,
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels },
        matchLabelKeys: ['pod-template-hash'],
      })),
    );
  });

  test('sets only settings that exist, and takes secrets from files of the Secret alone', () => {
    const settings = Object.entries(only(folder, 'ConfigMap').data ?? {});
    expect(settings.length).toBeGreaterThan(5);
    const pod = podOf(only(folder, 'Deployment'));
    const [container] = pod.containers;
    const [mount] = container.volumeMounts;
    for (const [name, value] of settings) {
      const variable = variables.find(([known]) => known === name.replace(/_FILE$/, ''));
      expect(variable, name).toBeDefined();
      const isSecret = variable?.[1].secret === true;
      expect(name.endsWith('_FILE'), name).toBe(isSecret);
      if (isSecret) expect(value).toBe(`${mount?.mountPath}/${variable?.[0]}`);
    }
    expect(container.envFrom).toEqual([{ configMapRef: { name: only(folder, 'ConfigMap').metadata.name } }]);
    expect(pod.volumes.find(({ name }) => name === mount?.name)?.secret).toBeDefined();
  });
});

/** The environment of a replica of this overlay, with these secrets in place of their files. */
function environmentOf(folder: string, secrets: Readonly<Record<string, string>>): Record<string, string> {
  const settings = Object.entries(only(folder, 'ConfigMap').data ?? {}).map(([name, value]) => {
    const secret = name.replace(/_FILE$/, '');
    return name === secret ? [name, value] : [secret, secrets[secret] ?? ''];
  });
  return { NODE_ENV: 'production', ...Object.fromEntries(settings) };
}

test('the settings of the try-out overlay are valid, and lead to its Redis and its simulator', () => {
  const folder = 'overlays/try-out';
  const secret = only(folder, 'Secret');
  const secrets = Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([name, value]) => [name, Buffer.from(value, 'base64').toString()]),
  );
  const environment = environmentOf(folder, secrets);
  expect(loadConfig(environment).redis?.encryptionKeys).toHaveLength(1);
  expect(podOf(only(folder, 'Deployment')).volumes[0]?.secret?.secretName).toBe(secret.metadata.name);
  const addresses = built(folder)
    .filter(({ kind }) => kind === 'Service')
    .flatMap(({ metadata, spec }) => spec.ports.map(({ port }: { port: number }) => `${metadata.name}:${port}`));
  for (const name of ['VENDOR_BASE_URL', 'SESSION_JWT_JWKS_URL', 'REDIS_URL'])
    expect(addresses).toContain(new URL(environment[name] ?? '').host);
  const simulator = podOf(only(folder, 'Deployment', /^simulator$/)).containers[0];
  expect(simulator.image).toBe('sdk-token-broker:local');
  expect(simulator.image).toBe(podOf(only(folder, 'Deployment')).containers[0].image);
});

test('the production overlay is valid with secrets of your own, and contains none', () => {
  const folder = 'overlays/production';
  expect(built(folder).filter(({ kind }) => kind === 'Secret')).toEqual([]);
  const environment = environmentOf(folder, {
    ADMIN_TOKENS: 'cloud:0123456789abcdef0123456789abcdef',
    REDIS_URL: 'rediss://broker:password@redis.example:6379',
    TOKEN_ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
    VENDOR_APP_TOKEN: 'app-token',
    VENDOR_APP_KEY: 'app-key',
  });
  expect(loadConfig(environment).redis).toBeDefined();
  const [, command = ''] =
    /folder with the\n# files (.*?):\n/s.exec(readFile('deploy/kubernetes/overlays/production/kustomization.yaml')) ??
    [];
  const named = [...command.matchAll(/\b([A-Z]+_[A-Z_]+)\b/g)].map(([, name]) => name);
  const files = Object.keys(only(folder, 'ConfigMap').data ?? {}).filter((name) => name.endsWith('_FILE'));
  expect(new Set(named)).toEqual(new Set(files.map((name) => name.replace(/_FILE$/, ''))));
});

test('the try-out overlay lets the broker reach its Redis and its simulator', () => {
  const folder = 'overlays/try-out';
  const { egress } = only(folder, 'NetworkPolicy').spec;
  const allowed = (
    egress as { ports: { port: unknown }[]; to: { podSelector?: { matchLabels: unknown } }[] }[]
  ).flatMap(({ ports, to }) =>
    to.flatMap(({ podSelector }) => ports.map(({ port }) => [port, podSelector?.matchLabels])),
  );
  for (const name of ['redis', 'simulator']) {
    const { template } = only(folder, 'Deployment', new RegExp(`^${name}$`)).spec;
    for (const { name: port, containerPort } of template.spec.containers[0].ports)
      expect(allowed).toContainEqual([name === 'redis' ? containerPort : port, template.metadata.labels]);
  }
});

test('the production overlay pins the image by its digest, and puts everything into one namespace', () => {
  const folder = 'overlays/production';
  const { image } = podOf(only(folder, 'Deployment')).containers[0];
  expect(image).toMatch(/^registry\.example\/sdk-token-broker@sha256:[0-9a-f]{64}$/);
  const namespaces = built(folder)
    .filter(({ kind }) => kind !== 'Namespace')
    .map(({ metadata }) => metadata.namespace);
  expect(new Set(namespaces)).toEqual(new Set([only(folder, 'Namespace').metadata.name]));
});

test('the component prometheus-rule has the rules of deploy/prometheus', () => {
  expect(only('overlays/production', 'PrometheusRule').spec).toEqual(parse(readFile('deploy/prometheus/rules.yml')));
});

test('the component service-monitor scrapes the internal Service under the job name that the rules expect', () => {
  const { spec } = only('overlays/production', 'ServiceMonitor');
  const services = built('overlays/production').filter(({ kind, metadata: { labels = {} } }) => {
    const wanted = Object.entries(spec.selector.matchLabels);
    return kind === 'Service' && wanted.every(([label, value]) => labels[label] === value);
  });
  expect(services.map(({ metadata }) => metadata.name)).toEqual(['sdk-token-broker-internal']);
  expect(services[0]?.metadata.labels?.[spec.jobLabel]).toBe('sdk-token-broker');
  const names = services[0]?.spec.ports.map(({ name }: { name: string }) => name);
  expect(spec.endpoints).toEqual([expect.objectContaining({ port: names[0], path: '/metrics' })]);
});
