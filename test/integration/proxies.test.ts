import { describe, expect, test } from 'vitest';
import { check as checkCommand } from '../../src/commands/check.ts';
import { startBroker } from '../support/broker-process.ts';
import { startBrokerService } from '../support/broker-service.ts';
import { startServices } from '../support/fleet.ts';
import { startHttpProxy } from '../support/http-proxy.ts';
import { makeCertificate, tlsInFrontOf } from '../support/tls.ts';

const CERTIFICATE = makeCertificate(80, 'DNS:vendor');

/** A vendor by https: and published keys by http:, at names that only the proxy knows. */
async function behindProxy(credentials?: string) {
  const fleet = await startServices({ replicas: 0 });
  const { port, pathname } = new URL(fleet.cloud.jwksUrl);
  const hosts = { vendor: await tlsInFrontOf(fleet.vendor.port, CERTIFICATE), cloud: Number(port) };
  const proxy = await startHttpProxy(hosts, credentials);
  const env = {
    ...fleet.env,
    VENDOR_BASE_URL: 'https://vendor',
    SESSION_JWT_JWKS_URL: `http://cloud${pathname}`,
    HTTPS_PROXY: proxy.url,
    HTTP_PROXY: proxy.url,
    NODE_EXTRA_CA_CERTS: CERTIFICATE.cert,
  };
  return { fleet, proxy, env };
}

async function check(env: Readonly<Record<string, string>>): Promise<string[]> {
  const lines: string[] = [];
  await checkCommand([], { env, version: '0', out: (text) => lines.push(text), err: (text) => lines.push(text) });
  return lines.join('\n').replace(/ +/g, ' ').split('\n');
}

describe('a proxy', () => {
  test('carries the login by a tunnel and the published keys by a forwarded request, and nothing else', async () => {
    const { fleet, proxy, env } = await behindProxy('user:canary-password');
    const broker = await startBroker(env);
    const session = await fleet.session('alice');
    expect((await broker.getToken(session, 'phone')).status).toBe(200);
    expect(fleet.vendor.loginsOf('alice', 'phone')).toBe(1);
    expect(proxy.seen.sort()).toEqual(['CONNECT vendor:443', `GET ${env.SESSION_JWT_JWKS_URL}`]);
    expect(broker.log().join('\n')).not.toContain('canary-password');

    // The timeout and the limit of the size hold through the tunnel.
    fleet.vendor.configure({ fault: 'endless' });
    const refused = await broker.getToken(session, 'tablet');
    expect([refused.status, JSON.parse(refused.body).code]).toEqual([503, 'vendor_unavailable']);
    expect(broker.log().join('\n')).toContain('"kind":"too_large"');
  });

  test('that refuses the password, or that is down, is named, without the password', async () => {
    const { fleet, proxy, env } = await behindProxy('user:canary-password');
    const wrong = proxy.url.replace('canary-password', 'canary-wrong');
    const broker = await startBrokerService({ ...env, HTTPS_PROXY: wrong });
    const ask = async () => (await broker.getToken(await fleet.session('alice'), 'phone')).status;
    expect(await ask()).toBe(503);
    expect(broker.log().join('\n')).toMatch(/"problem":"PROXY_407"/);
    const refused = await check({ ...env, HTTPS_PROXY: wrong, HTTP_PROXY: wrong });
    expect(refused).toContainEqual(
      expect.stringMatching(/^FAIL vendor .* — the proxy does not let the broker reach vendor \(HTTP 407\)$/),
    );
    expect(refused).toContainEqual(
      expect.stringMatching(/^FAIL session keys — the proxy does not let the broker reach http:\S+ \(HTTP 407\)$/),
    );
    await proxy.close();
    expect(await ask()).toBe(503);
    const down = await check(env);
    for (const [name, to] of [
      ['vendor', 'vendor'],
      ['session keys', env.SESSION_JWT_JWKS_URL],
    ]) {
      const line = `^FAIL ${name}.* — the proxy to ${to} cannot be reached \\(ECONNREFUSED\\)$`;
      expect(down).toContainEqual(expect.stringMatching(line));
    }
    for (const output of [refused, down, broker.log()]) expect(output.join('\n')).not.toContain('canary');
  });

  test('is not used for the servers in NO_PROXY; check says which way each request goes', async () => {
    const fleet = await startServices({ replicas: 0 });
    const proxy = await startHttpProxy({});
    const settings = { HTTP_PROXY: '', http_proxy: proxy.url.replace('http://', ''), no_proxy: '10.0.0.0/8,127.0.0.1' };
    const broker = await startBrokerService({ ...fleet.env, ...settings });
    expect((await broker.getToken(await fleet.session('alice'), 'phone')).status).toBe(200);
    expect(proxy.seen).toEqual([]);

    const { host } = new URL(proxy.url);
    const [vendor, cloud] = [fleet.vendor.url, new URL(fleet.cloud.jwksUrl).origin];
    const direct = await check({ ...fleet.env, ...settings });
    expect(direct).toContain(`ok way out — ${vendor}: without a proxy`);
    expect(direct).toContain(`ok way out — ${cloud}: without a proxy`);
    const through = await check({ ...fleet.env, ...settings, no_proxy: '' });
    expect(proxy.seen.length).toBeGreaterThan(1);
    expect(through).toContain(
      `warn way out — ${vendor}: through the proxy ${host} (HTTP_PROXY), for which this is an address of its own machine`,
    );
    const elsewhere = await check({ ...fleet.env, ...settings, VENDOR_BASE_URL: 'http://vendor' });
    expect(elsewhere).toContain(`ok way out — http://vendor: through the proxy ${host} (HTTP_PROXY)`);
    expect((await check(fleet.env)).filter((line) => line.includes('way out'))).toEqual([]);
  });

  test('that is no HTTP proxy is refused at the start, without its password', async () => {
    const { env } = await behindProxy();
    const start = startBroker({ ...env, HTTPS_PROXY: 'socks5://user:canary-password@proxy.example:1080' });
    const error: Error = await start.then(
      () => expect.unreachable('it starts'),
      (reason) => reason,
    );
    expect(error.message).toMatch(/HTTPS_PROXY must be the URL of an HTTP proxy, like http:/);
    expect(error.message).not.toContain('canary-password');
  });
});
