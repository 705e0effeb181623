import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startBroker } from '../support/broker-process.ts';
import { startCommand } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { startServices } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { ADMIN_TOKEN, statusOf } from '../support/internal-api.ts';
import { newFolder } from '../support/new-folder.ts';
import { askRedis, startRedis } from '../support/redis-server.ts';
import { makeCertificate, tlsInFrontOf, tlsSettings } from '../support/tls.ts';

const SOON = { timeoutMs: 20_000, everyMs: 500 };
const DAY_S = 86_400;

test('a certificate that ends within 14 days is a finding and a warning of check, until the server has another one; an ended one is named', async () => {
  const near = makeCertificate(13);
  const nearest = makeCertificate(9.5);
  const far = makeCertificate(15);
  const ended = makeCertificate(-1);
  const [fleet, redisPort] = [await startServices({ replicas: 0 }), await freePort()];
  const redis = await startRedis({
    args: tlsSettings(redisPort, near).flatMap(([name, value]) => [`--${name}`, value]),
  });
  const keys = new URL(fleet.cloud.jwksUrl);
  const hosts = {
    redis: `127.0.0.1:${redisPort}`,
    vendor: `127.0.0.1:${await tlsInFrontOf(fleet.vendor.port, far)}`,
    keys: `127.0.0.1:${await tlsInFrontOf(keys.port, nearest)}`,
  };
  const bundle = join(newFolder(), 'ca.pem');
  writeFileSync(bundle, [near, nearest, far, ended].map(({ cert }) => readFileSync(cert)).join('\n'));
  const env = {
    ...fleet.env,
    ADMIN_TOKEN,
    REDIS_URL: `rediss://${hosts.redis}`,
    VENDOR_BASE_URL: `https://${hosts.vendor}`,
    SESSION_JWT_JWKS_URL: `https://${hosts.keys}${keys.pathname}`,
    NODE_EXTRA_CA_CERTS: bundle,
  };
  const broker = await startBroker(env);
  expect((await broker.getToken(await fleet.session('alice'), 'phone')).status).toBe(200);
  const found = (host: string, days: number) => ({
    code: 'certificate_ends',
    level: 'warn',
    host,
    seconds: expect.closeTo(days * DAY_S, -3),
    message: `The certificate of ${host} ends within ${Math.ceil(days)} days. Renew it.`,
  });
  const expected = [found(hosts.keys, 9.5), found(hosts.redis, 13)];
  await eventually(async () => {
    const bySeconds = (await statusOf(broker)).findings.sort((one, other) => (one.seconds ?? 0) - (other.seconds ?? 0));
    expect(bySeconds).toMatchObject(expected);
  }, SOON);
  const { out, code } = await startCommand(['check'], env).ended();
  expect(code).toBe(0);
  expect(out.match(/(?<=^warn +)certificate.*/gm)?.map((line) => line.replace(/ +/g, ' '))).toEqual([
    `certificate of ${hosts.keys} — it ends within 10 days`,
    `certificate of ${hosts.redis} — it ends within 13 days`,
  ]);

  const replace = ({ cert, key }: typeof far) =>
    askRedis(redis, async (client) => {
      await client.config('SET', 'tls-cert-file', cert, 'tls-key-file', key);
      await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    });
  await replace(far);
  await eventually(async () => expect((await statusOf(broker)).findings).toMatchObject([{ host: hosts.keys }]), SOON);

  await replace(ended);
  const unreachable = { code: 'redis_unreachable', reason: 'connection: CERT_HAS_EXPIRED' };
  await eventually(
    async () => expect((await statusOf(broker)).findings).toContainEqual(expect.objectContaining(unreachable)),
    SOON,
  );
});
