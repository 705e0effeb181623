import type { ServerResponse } from 'node:http';
import { describe, expect, it, test } from 'vitest';
import { agentOpener, type Proxies, proxyFor } from '../../src/proxies.ts';
import { prepareLogin } from '../../src/vendor-api/signed-call.ts';
import { eventually } from '../support/eventually.ts';
import { IOS, SUBJECT, vendorClient } from './vendor-api/running-vendor-login.ts';
import { type Answering, json, scriptedVendor } from './vendor-api/scripted-vendor.ts';

const [HTTPS_PROXY, HTTP_PROXY] = [new URL('http://tunnels.example'), new URL('http://forwards.example')];
const ALL: Proxies = { HTTPS_PROXY, HTTP_PROXY, NO_PROXY: [] };

/** Each as curl 8.14 decides. */
describe('the proxy of a URL', () => {
  const settingFor = (url: string, proxies: Partial<Proxies> = {}) =>
    proxyFor(new URL(url), { ...ALL, ...proxies })?.setting;

  it('is the one for its scheme, and no other', () => {
    expect(proxyFor(new URL('https://vendor.example'), ALL)).toEqual({ setting: 'HTTPS_PROXY', url: HTTPS_PROXY });
    expect(settingFor('http://127.0.0.1:3000')).toBe('HTTP_PROXY');
    expect(settingFor('https://vendor.example', { HTTPS_PROXY: undefined })).toBeUndefined();
    expect(settingFor('http://vendor.example', { HTTP_PROXY: undefined })).toBeUndefined();
  });

  it.each([
    ['*', ['a.example', '127.0.0.1', '[::1]'], []],
    ['a.example', ['a.example', 'A.example', 'b.a.example', 'a.example.', 'a.example:8443'], ['aa.example', 'example']],
    ['10.0.0.0/8', ['10.1.2.3', '10.255.0.1:80'], ['11.0.0.1', 'ten.example', '[::1]']],
    ['127.0.0.1', ['127.0.0.1', '127.1'], ['127.0.0.2', 'localhost']],
    ['::1', ['[::1]', '[0:0::1]:80'], ['[::2]', '127.0.0.1']],
    ['fd00::/8', ['[fd12::1]'], ['[fe80::1]', '10.0.0.1']],
    ['0.1', [], ['127.0.0.1']],
  ])('is none if NO_PROXY is %s, and its host is one of %j, not of %j', (entry, without, others) => {
    for (const host of without) expect(settingFor(`http://${host}`, { NO_PROXY: ['x', entry] })).toBeUndefined();
    for (const host of others) expect(settingFor(`http://${host}`, { NO_PROXY: ['x', entry] })).toBe('HTTP_PROXY');
  });
});

/** A client of the vendor behind a proxy that forwards, and that answers in place of the vendor. */
async function clientBehind(answering: Answering) {
  const { url, seen } = await scriptedVendor(answering);
  const client = vendorClient({ openAgent: agentOpener({ ...ALL, HTTP_PROXY: url }) });
  const parts = { app: IOS, subject: SUBJECT, region: 'CN', nonce: 7, timestamp: 1_700_000_000 };
  const request = prepareLogin({ domain: new URL('http://vendor.example:8080'), ...parts });
  return { seen, request, post: (timeoutMs = 10_000) => client.post(request, timeoutMs) };
}

describe('a request to the vendor through a proxy', () => {
  test('is the one that was signed, with the host of the vendor', async () => {
    const { seen, request, post } = await clientBehind(json('{}'));
    expect((await post()).text).toBe('{}');
    expect(seen[0]).toMatchObject({ method: 'POST', path: request.url.href, body: request.body });
    expect(seen[0]?.headers).toMatchObject({ host: 'vendor.example:8080', accept: 'application/json' });
  });

  test('ends at its deadline, and after 256 KiB', async () => {
    const silent = await clientBehind(() => undefined);
    await expect(silent.post(150)).rejects.toMatchObject({ kind: 'timeout' });
    const large = await clientBehind(json('x'.repeat(256 * 1024 + 1)));
    await expect(large.post()).rejects.toMatchObject({ kind: 'too_large' });
  });

  test('has one of 64 connections', async () => {
    const held: ServerResponse[] = [];
    const { seen, post } = await clientBehind((response) => void held.push(response));
    const attempts = Array.from({ length: 65 }, () => post());
    await eventually(() => held.length === 64);
    expect(seen).toHaveLength(64);
    for (const response of held) response.end('{}');
    await eventually(() => held.length === 65);
    held.at(-1)?.end('{}');
    await Promise.all(attempts);
  });
});
