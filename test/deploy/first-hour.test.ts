import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Agent, request } from 'undici';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/config.ts';
import { startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import { listen } from '../../src/simulator/http-server.ts';
import { startVendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { startBrokerService } from '../support/broker-service.ts';
import { exitOf, startProgram } from '../support/child-process.ts';
import { type ComposeService, composeServices } from '../support/compose.ts';
import { readFile } from '../support/documents.ts';
import { endWithTest } from '../support/end-with-test.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { sectionsOf } from '../support/markdown.ts';
import { newFolder } from '../support/new-folder.ts';
import { NGINX, startNginx } from '../support/nginx.ts';
import { redisBinary } from '../support/redis-server.ts';
import { VENDOR_APP } from '../support/vendor-app.ts';
import { recordingServer } from '../unit/session/recording-server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const sections = sectionsOf(readFile('docs/production.md'));
const IS_ROOT = process.getuid?.() === 0;
const IMAGE = 'registry.example/sdk-token-broker:of-today';

/** The code of a section of the page. */
function code(section: number, language: string): string {
  const { blocks = [] } = sections.find(({ heading }) => heading?.title.startsWith(`${section}. `)) ?? {};
  return blocks.flatMap((block) => (block.language === language ? [block.code] : [])).join('\n');
}

/** A clone with the secrets of the page, and the folder `broker-host` that its commands make. */
let clone: string;
let services: Readonly<Record<string, ComposeService>>;
const host = (file = '') => join(clone, 'broker-host', file);

beforeAll(() => {
  clone = newFolder();
  symlinkSync(join(ROOT, 'deploy'), join(clone, 'deploy'));
  const here = code(4, 'sh')
    .split('\n')
    .filter((line) => /^(cp|mv|sudo chgrp) /.test(line))
    .map((line) => line.replace(/^sudo chgrp .*? &&/, (change) => (IS_ROOT ? change.slice('sudo '.length) : '')));
  // The broker refuses the placeholders of the page.
  const secrets = code(1, 'sh').replace(/'your-app-(token|key)'/g, "'the-$1-of-the-vendor'");
  execFileSync('bash', ['-e', '-c', ['umask 077', secrets, ...here].join('\n')], { cwd: clone });
  services = composeServices(host(), [], { BROKER_IMAGE: IMAGE });
});

/** The environment of a replica, with the secrets at their places on this machine. */
function replicaEnvironment(): Record<string, string> {
  const { environment = {} } = services['broker-1'] ?? {};
  const onHost = Object.entries(environment).map(([name, value]) => [
    name,
    value.replace('/run/secrets/', host('secrets/')),
  ]);
  return { NODE_ENV: 'production', ...Object.fromEntries(onHost) };
}

describe('on one host', () => {
  test('the broker accepts the settings and the secrets that the page makes', () => {
    expect(loadConfig(replicaEnvironment()).redis).toBeDefined();
  });

  test('the group 1000 of the image, and nobody else, can read the secrets of a user with the umask 077', () => {
    for (const [file, mode] of [
      ['secrets', 0o750],
      ['secrets/REDIS_URL', 0o640],
      ['secrets/VENDOR_APP_KEY', 0o640],
    ] as const) {
      const { mode: found, gid } = statSync(host(file));
      expect([found & 0o777, IS_ROOT ? gid : 1000], file).toEqual([mode, 1000]);
    }
  });

  test('each replica sees the folder of the secrets, so that a file which replaces another one reaches it', () => {
    const folder = '/run/secrets';
    for (const replica of ['broker-1', 'broker-2']) {
      const { environment = {}, volumes, secrets } = services[replica] ?? {};
      const paths = Object.entries(environment).flatMap(([name, value]) => (name.endsWith('_FILE') ? [value] : []));
      expect(paths.map((path) => dirname(path))).toEqual(Array(5).fill(folder));
      expect(volumes).toEqual([
        expect.objectContaining({ type: 'bind', source: host('secrets'), target: folder, read_only: true }),
      ]);
      // Each of these would be a mount of one file.
      expect(secrets).toBeUndefined();
    }
  });

  test('Compose waits until a new replica is ready, not only alive, and the next one is replaced only then', async () => {
    let status = 503;
    const replica = await listen(
      '127.0.0.1',
      0,
      async ({ url }, response) => void response.writeHead(url === '/readyz' ? status : 200).end(),
    );
    onTestFinished(replica.close);
    const check = async (service = '') => {
      const [kind, program = '', ...args] = services[service]?.healthcheck?.test ?? [];
      expect(kind).toBe('CMD');
      const child = spawn(program, args, { env: { ...process.env, PORT: `${replica.port}` }, stdio: 'ignore' });
      return (await exitOf(child)).code;
    };
    expect([await check('broker-1'), await check('broker-2')]).toEqual([1, 1]);
    status = 200;
    expect([await check('broker-1'), await check('broker-2')]).toEqual([0, 0]);
    expect(code(4, 'sh')).toMatch(/--no-deps broker-1 &&\n.* --no-deps broker-2$/m);
  });

  test('Compose starts two replicas of the named image, and opens every port on loopback alone', () => {
    const all = Object.entries(services);
    expect(all.map(([name]) => name).sort()).toEqual(['broker-1', 'broker-2', 'redis']);
    expect([services['broker-1']?.image, services['broker-2']?.image]).toEqual([IMAGE, IMAGE]);
    for (const [name, service] of all) {
      expect(service, name).toMatchObject({ read_only: true, cap_drop: ['ALL'], restart: 'unless-stopped' });
      for (const port of service.ports ?? []) expect(port.host_ip, name).toBe('127.0.0.1');
    }
  });

  test.skipIf(!NGINX)('nginx with this file passes on a header with an underscore', async () => {
    const { origin, received } = await recordingServer((_request, response) => response.end());
    const { port } = new URL(origin);
    const proxy = await startNginxOfPage([port, port]);
    await eventually(() => proxy.get('/sdk-token', { access_token: 'session' }));
    expect(received[0]?.headers).toMatchObject({ access_token: 'session' });
  });

  test('the timeouts of the proxy fit those of the broker and of the app', () => {
    const config = readFile('deploy/compose/nginx.conf');
    const seconds = (name: string) => Number(new RegExp(`^ *${name} (\\d+)s;`, 'm').exec(config)?.[1]);
    expect(seconds('keepalive_timeout')).toBeLessThan(72);
    expect(seconds('proxy_read_timeout')).toBeGreaterThan(30);
    const rows = sections.flatMap(({ tables }) => tables.flat()).join('\n');
    for (const line of ['keepalive_timeout', 'proxy_read_timeout'])
      expect(rows).toContain(`\`${line} ${seconds(line)}s\``);
  });

  test.skipIf(!NGINX)(
    'real nginx and Redis with these files serve a token over TLS, also while a replica is replaced',
    async () => {
      const redis = await startRedisOfCompose();
      const vendor = await startVendorSimulator({ apps: [VENDOR_APP] });
      const cloud = await startCustomerCloud();
      onTestFinished(async () => void (await Promise.all([vendor.close(), cloud.close()])));
      const env = {
        ...replicaEnvironment(),
        ...vendor.brokerEnvironment,
        ...cloud.brokerEnvironment,
        ADMIN_HOST: '127.0.0.1',
        REDIS_URL: redis.url,
      };
      for (const name of ['VENDOR_APP_TOKEN_FILE', 'VENDOR_APP_KEY_FILE', 'REDIS_URL_FILE'])
        Reflect.deleteProperty(env, name);
      const replicas = [await startBrokerService(env), await startBrokerService(env)];
      const proxy = await startNginxOfPage(replicas.map(({ url }) => new URL(url).port));
      const session = await cloud.issueSession({ unionId: 'alice', region: 'DE' });
      const read = () => proxy.get('/sdk-token?uniqueId=my-phone', { authorization: `Bearer ${session}` });

      const served = await eventually(read);
      expect(served.status, served.body).toBe(200);
      const refused = await proxy.get('/sdk-token?uniqueId=my-phone');
      expect(refused).toMatchObject({ status: 401, body: expect.stringContaining('"session_missing"') });
      for (const path of ['/metrics', '/status', '/console', '/accounts/alice'])
        expect((await proxy.get(path)).status, path).toBe(404);

      const ending = replicas[0]?.stop();
      const statuses = new Set<number>();
      let hasEnded = false;
      void ending?.finally(() => {
        hasEnded = true;
      });
      for (let after = 0; after < 10; after += hasEnded ? 1 : 0) {
        statuses.add((await read()).status);
        await sleep(20);
      }
      expect([...statuses]).toEqual([200]);
    },
  );
});

test('the examples for Helm and for Compose have the same settings', () => {
  const { settings } = parse(readFile('deploy/helm/sdk-token-broker/values-production.yaml'));
  const lines = readFileSync(host('settings.env'), 'utf8').split('\n');
  const pairs = lines.filter((line) => /^[A-Z]/.test(line)).map((line) => line.split(/=(.*)/).slice(0, 2));
  expect(Object.fromEntries(pairs)).toEqual(settings);
});

/** Runs the command of the service `redis` on this machine. */
async function startRedisOfCompose(): Promise<{ readonly url: string }> {
  const [shell = '', ...args] = services['redis']?.command ?? [];
  const port = await freePort();
  const script = (args.at(-1) ?? '')
    .replaceAll('/run/secrets/', host('secrets/'))
    .replaceAll('/tmp/redis.conf', host('redis.conf'))
    .replace('exec redis-server', `exec ${redisBinary()}`);
  const command = [shell, ...args.slice(0, -1), `${script} --port ${port} --bind 127.0.0.1`] as const;
  endWithTest(startProgram(command, {}, { cwd: host() }).stop);
  const url = readFileSync(host('secrets/REDIS_URL'), 'utf8');
  return { url: url.replace('@redis:6379', `@127.0.0.1:${port}`) };
}

/** Starts nginx with the file of the page, a certificate of its own, and these ports of the replicas. */
async function startNginxOfPage(ports: readonly string[]) {
  const [certificate, key, port] = [host('fullchain.pem'), host('privkey.pem'), await freePort()];
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  const names = ['-subj', '/CN=broker.example', '-addext', 'subjectAltName=DNS:broker.example'];
  execFileSync('openssl', [...args, ...names, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  const config = readFileSync(host('nginx.conf'), 'utf8')
    .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replace('/etc/ssl/broker.example/fullchain.pem', certificate)
    .replace('/etc/ssl/broker.example/privkey.pem', key)
    .replace(':8080 ', `:${ports[0]} `)
    .replace(':8081 ', `:${ports[1]} `);
  startNginx(config);
  const dispatcher = new Agent({ connect: { ca: readFileSync(certificate), servername: 'broker.example' } });
  onTestFinished(() => dispatcher.destroy());
  const get = async (path: string, headers: Readonly<Record<string, string>> = {}) => {
    const { statusCode: status, body } = await request(`https://127.0.0.1:${port}${path}`, { headers, dispatcher });
    return { status, body: await body.text() };
  };
  return { get };
}
