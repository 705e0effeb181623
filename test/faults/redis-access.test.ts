import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startBroker } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { newFolder } from '../support/new-folder.ts';
import { startSentinel } from '../support/redis-sentinel.ts';
import { askRedis, startRedis } from '../support/redis-server.ts';
import { makeCertificate, tlsSettings } from '../support/tls.ts';

const PASSWORD = 'p@ss/canary';
const SENTINEL_PASSWORD = 'sentinel&canary';
const [SECRET, SENTINEL_SECRET] = [PASSWORD, SENTINEL_PASSWORD].map(encodeURIComponent);

const CERTIFICATE = makeCertificate();

async function startTlsRedis(tlsPort: number, args: readonly string[] = []): Promise<{ readonly port: number }> {
  const tls = tlsSettings(tlsPort, CERTIFICATE).flatMap(([name, value]) => [`--${name}`, value]);
  const redis = await startRedis({ args: ['--requirepass', PASSWORD, ...tls, ...args] });
  return redis;
}

interface StartedRedis {
  readonly url: string;
  /** Port without TLS of the server that stores the tokens. */
  readonly port: number;
}

async function single(): Promise<StartedRedis> {
  const tlsPort = await freePort();
  const { port } = await startTlsRedis(tlsPort);
  return { url: `rediss://:${SECRET}@127.0.0.1:${tlsPort}`, port };
}

async function behindSentinel(): Promise<StartedRedis> {
  const [masterPort, tlsPort] = [await freePort(), await freePort()];
  const { port } = await startTlsRedis(masterPort);
  const tls = [...tlsSettings(tlsPort, CERTIFICATE), ['tls-replication', 'yes']].map((setting) => setting.join(' '));
  const lines = [...tls, `sentinel auth-pass mymaster ${PASSWORD}`];
  await startSentinel({ masterPort, quorum: 1, password: SENTINEL_PASSWORD, lines });
  const options = `tls=true&sentinelPassword=${SENTINEL_SECRET}`;
  return { url: `redis-sentinel://:${SECRET}@127.0.0.1:${tlsPort}/mymaster?${options}`, port };
}

async function cluster(): Promise<StartedRedis> {
  const [tlsPort, busPort] = [await freePort(), await freePort()];
  const dir = newFolder();
  const config = ['--cluster-enabled', 'yes', '--cluster-config-file', join(dir, 'nodes.conf'), '--dir', dir];
  const ports = ['--cluster-port', `${busPort}`, '--cluster-announce-tls-port', `${tlsPort}`];
  const { port } = await startTlsRedis(tlsPort, [...config, ...ports, '--cluster-announce-ip', '127.0.0.1']);
  const node = { port, password: PASSWORD };
  const slots = Array.from({ length: 16_384 }, (_, slot) => slot);
  await askRedis(node, (redis) => redis.cluster('ADDSLOTS', slots));
  await eventually(() =>
    askRedis(node, (redis) => redis.cluster('INFO')).then((info) => info.includes('cluster_state:ok')),
  );
  return { url: `redis-cluster://:${SECRET}@127.0.0.1:${tlsPort}?tls=true`, port };
}

test.each([
  ['one Redis', single, /certificate/],
  // ioredis does not report why a Sentinel cannot be reached.
  ['a master behind Sentinels', behindSentinel, /failed to connect to sentinel 127\.0\.0\.1:\d+/],
  ['a Redis Cluster', cluster, /certificate/],
])(
  '%s accepts a broker over TLS with the right password, and only a broker that trusts its authority connects',
  async (_, start, tlsFailure) => {
    const { url, port } = await start();
    const env = { REDIS_URL: url, NODE_EXTRA_CA_CERTS: CERTIFICATE.cert };
    const fleet = await startFleet({ replicas: 1, env });
    expect((await fleet.broker(0).getToken(await fleet.session('alice'), 'phone')).status).toBe(200);
    expect(await askRedis({ port, password: PASSWORD }, (redis) => redis.dbsize())).toBeGreaterThan(0);

    const untrusting = await startBroker({ ...fleet.env, NODE_EXTRA_CA_CERTS: '' }, { until: '/livez' });
    await eventually(() => untrusting.log().some((line) => tlsFailure.test(line)));
    const wrongPasswords = { ...fleet.env, REDIS_URL: url.replaceAll('canary', 'wrong-canary') };
    const refused = await startBroker(wrongPasswords, { until: '/livez' });
    await eventually(() => refused.log().some((line) => /WRONGPASS/.test(line)));
    for (const broker of [fleet.broker(0), untrusting, refused]) {
      expect(broker.log().join('\n')).not.toContain('canary');
    }
    expect((await fleet.broker(0).stop()).code).toBe(0);
  },
  90_000,
);
