import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { ask } from '../support/ask-redis.ts';
import { startBroker } from '../support/broker-process.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { startSentinel } from '../support/redis-sentinel.ts';
import { startRedis } from '../support/redis-server.ts';

const PATIENTLY = { timeoutMs: 20_000 };
const PASSWORD = 'p@ss/canary';
const SENTINEL_PASSWORD = 'sentinel&canary';
const [SECRET, SENTINEL_SECRET] = [PASSWORD, SENTINEL_PASSWORD].map(encodeURIComponent);

let certificates: Certificates;
beforeAll(() => {
  certificates = makeCertificates();
});
afterAll(() => certificates.remove());

/** What a Redis is told to speak TLS at a port besides its own. */
function tlsSettings(tlsPort: number): (readonly [string, string])[] {
  return [
    ['tls-port', `${tlsPort}`],
    ['tls-cert-file', certificates.certificate],
    ['tls-key-file', certificates.key],
    ['tls-ca-cert-file', certificates.authority],
    ['tls-auth-clients', 'no'],
  ];
}

async function startTlsRedis(tlsPort: number, args: readonly string[] = []): Promise<{ readonly port: number }> {
  const tls = tlsSettings(tlsPort).flatMap(([name, value]) => [`--${name}`, value]);
  const redis = await startRedis({ args: ['--requirepass', PASSWORD, ...tls, ...args] });
  onTestFinished(() => redis.kill());
  return redis;
}

interface Running {
  readonly url: string;
  /** Where tokens are, without TLS. */
  readonly port: number;
}

async function single(): Promise<Running> {
  const tlsPort = await freePort();
  const { port } = await startTlsRedis(tlsPort);
  return { url: `rediss://:${SECRET}@127.0.0.1:${tlsPort}`, port };
}

async function behindSentinel(): Promise<Running> {
  const [masterPort, tlsPort] = [await freePort(), await freePort()];
  const { port } = await startTlsRedis(masterPort);
  const tls = [...tlsSettings(tlsPort), ['tls-replication', 'yes']].map((setting) => setting.join(' '));
  const lines = [...tls, `sentinel auth-pass mymaster ${PASSWORD}`];
  const sentinel = await startSentinel({ masterPort, quorum: 1, password: SENTINEL_PASSWORD, lines });
  onTestFinished(() => sentinel.stop());
  const options = `tls=true&sentinelPassword=${SENTINEL_SECRET}`;
  return { url: `redis-sentinel://:${SECRET}@127.0.0.1:${tlsPort}/mymaster?${options}`, port };
}

async function cluster(): Promise<Running> {
  const [tlsPort, busPort] = [await freePort(), await freePort()];
  const dir = await mkdtemp(join(tmpdir(), 'redis-access-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const config = ['--cluster-enabled', 'yes', '--cluster-config-file', join(dir, 'nodes.conf'), '--dir', dir];
  const ports = ['--cluster-port', `${busPort}`, '--cluster-announce-tls-port', `${tlsPort}`];
  const { port } = await startTlsRedis(tlsPort, [...config, ...ports, '--cluster-announce-ip', '127.0.0.1']);
  const node = { port, password: PASSWORD };
  const slots = Array.from({ length: 16_384 }, (_, slot) => slot);
  await ask(node, (redis) => redis.cluster('ADDSLOTS', slots));
  await eventually(() => ask(node, (redis) => redis.cluster('INFO')).then((info) => info.includes('cluster_state:ok')));
  return { url: `redis-cluster://:${SECRET}@127.0.0.1:${tlsPort}?tls=true`, port };
}

test.each([
  ['one Redis', single, /certificate/],
  // Why a Sentinel could not be asked, ioredis does not say.
  ['a master behind Sentinels', behindSentinel, /failed to connect to sentinel 127\.0\.0\.1:\d+/],
  ['a Redis Cluster', cluster, /certificate/],
])(
  '%s is reached over TLS, with a password, by whoever trusts its authority alone',
  async (_, start, distrust) => {
    const { url, port } = await start();
    const env = { REDIS_URL: url, NODE_EXTRA_CA_CERTS: certificates.authority };
    const fleet = await startFleet({ replicas: 1, env });
    onTestFinished(() => fleet.close());
    expect((await fleet.broker(0).getToken(await fleet.session('alice'), 'phone')).status).toBe(200);
    expect(await ask({ port, password: PASSWORD }, (redis) => redis.dbsize())).toBeGreaterThan(0);

    const distrustful = await startBroker({ ...fleet.env, NODE_EXTRA_CA_CERTS: '' }, { until: '/livez' });
    onTestFinished(() => void distrustful.stop());
    await eventually(() => distrustful.log().some((line) => distrust.test(line)), PATIENTLY);
    const stranger = { ...fleet.env, REDIS_URL: url.replaceAll('canary', 'wrong-canary') };
    const refused = await startBroker(stranger, { until: '/livez' });
    onTestFinished(() => void refused.stop());
    await eventually(() => refused.log().some((line) => /WRONGPASS/.test(line)), PATIENTLY);
    for (const broker of [fleet.broker(0), distrustful, refused]) {
      expect(broker.log().join('\n')).not.toContain('canary');
    }
    expect((await fleet.broker(0).stop()).code).toBe(0);
  },
  90_000,
);
