import { randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type BrokerProcess, startBroker } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { newFolder } from '../support/new-folder.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver, treeOf } from '../support/otlp-receiver.ts';
import { plainRequest } from '../support/plain-request.ts';
import { accessTokenOf } from '../support/served-token.ts';
import { json, recordingServer } from '../unit/session/recording-server.ts';

const EXPORT_KEY = 'export-key-canary-7c1d';

interface Parent {
  readonly traceId: string;
  readonly spanId: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The span of an app that samples its trace. */
function appSpan(): Parent {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-01` } };
}

function tracingTo({ url }: { readonly url: string }) {
  return {
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${EXPORT_KEY}`,
    OTEL_TRACES_SAMPLER: 'parentbased_always_on',
    OTEL_BSP_SCHEDULE_DELAY: '100',
  };
}

/** Waits for all spans of a trace. @param root the last span to end */
async function traceOf(receiver: OtlpReceiver, traceId: string, root = 'GET /sdk-token'): Promise<ReceivedSpan[]> {
  await eventually(() => receiver.spans().some((span) => span.traceId === traceId && span.name === root));
  return receiver.spans().filter((span) => span.traceId === traceId);
}

function named(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const found = spans.find((span) => span.name === name);
  if (!found) throw new Error(`there is no span ${name} among ${spans.map((span) => span.name)}`);
  return found;
}

describe('with an endpoint', () => {
  let receiver: OtlpReceiver;
  let fleet: Fleet;
  /** Headers of all requests to the vendor and the customer cloud. */
  const outgoing: IncomingMessage['headers'][] = [];
  const onRequest = (message: unknown): void => {
    const { request } = message as { readonly request: IncomingMessage };
    if (request.socket.localPort !== receiver.port) outgoing.push(request.headers);
  };

  beforeAll(async () => {
    subscribe('http.server.request.start', onRequest);
    receiver = await startOtlpReceiver();
    fleet = await startFleet({
      replicas: 2,
      vendor: { mode: 'overlap' },
      env: {
        ...tracingTo(receiver),
        ADMIN_TOKEN,
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test%20lab',
        // A token of 10 s is renewed after about a second, and one with the usual life not during these tests.
        REFRESH_AT: '0.1-0.15',
      },
    });
  });

  afterAll(async () => {
    await fleet.close();
    await receiver.close();
    unsubscribe('http.server.request.start', onRequest);
  });

  const shown = [
    'broker.session',
    'broker.token_source',
    'broker.renewal_outcome',
    'broker.login_outcome',
    'error.type',
  ];

  test('a first login, a read from Redis and a read from memory have these spans, below the span of the app', async () => {
    const session = await fleet.session('alice-canary');
    const parents = [appSpan(), appSpan(), appSpan(), appSpan()];
    const replicas = [fleet.broker(0), fleet.broker(1), fleet.broker(1), fleet.broker(1)];
    for (const [index, broker] of replicas.entries()) {
      const headers = { ...parents[index]?.headers, tracestate: 'app=canary' };
      expect((await broker.getToken(session, 'phone-canary', { headers })).status).toBe(200);
    }
    const traces = await Promise.all(parents.map(({ traceId }) => traceOf(receiver, traceId)));
    expect(traces.map((spans, index) => treeOf(spans, parents[index]?.traceId ?? '', shown))).toEqual([
      [
        'GET /sdk-token login',
        '  session check accepted',
        '  store read',
        '  renewal login',
        '    store acquire',
        '    login success',
        '      login attempt',
        '    store save',
      ],
      ['GET /sdk-token redis', '  session check accepted', '  store read'],
      ['GET /sdk-token memory', '  session check cached'],
      ['GET /sdk-token memory', '  session check cached'],
    ]);
    const request = named(traces[0] ?? [], 'GET /sdk-token');
    expect(request).toMatchObject({ parentSpanId: parents[0]?.spanId, kind: 2, traceState: 'app=canary' });
    expect(request.attributes).toEqual({
      'http.request.method': 'GET',
      'http.route': '/sdk-token',
      'http.response.status_code': 200,
      'broker.token_source': 'login',
    });
    expect(request.resource).toMatchObject({
      'service.name': 'sdk-token-broker',
      'deployment.environment.name': 'test lab',
    });
    const attempt = named(traces[0] ?? [], 'login attempt');
    expect(attempt).toMatchObject({ kind: 3, attributes: { 'server.address': '127.0.0.1' } });
    expect(named(traces[0] ?? [], 'store save').attributes).toEqual({
      'db.system.name': 'redis',
      'db.operation.name': 'save',
    });
    expect(receiver.raw()[0]).toMatch(/^\/v1\/traces .*export-key-canary/);
  });

  test('a conditional read, which Fastify answers, has the same spans', async () => {
    const session = await fleet.session('carl-canary');
    const { headers: first } = await fleet.broker(0).getToken(session, 'phone-canary');
    const parent = appSpan();
    const headers = { ...parent.headers, 'if-none-match': String(first['etag']) };
    expect((await fleet.broker(0).getToken(session, 'phone-canary', { headers })).status).toBe(304);
    const tree = treeOf(await traceOf(receiver, parent.traceId), parent.traceId, shown);
    expect(tree).toEqual(['GET /sdk-token memory', '  session check cached']);
  });

  test('requests that wait for a login have a span for it: on the same replica, and on another one', async () => {
    fleet.vendor.configure({ latencyMs: 700 });
    onTestFinished(() => fleet.vendor.configure({ latencyMs: 0 }));
    const session = await fleet.session('bob-canary');
    const [joining, remote] = [appSpan(), appSpan()] as const;
    const { requests } = fleet.vendor.state();
    const reading = [fleet.broker(0).getToken(session, 'phone-canary')];
    await eventually(() => fleet.vendor.state().requests > requests);
    for (const [broker, { headers }] of [[fleet.broker(0), joining] as const, [fleet.broker(1), remote] as const]) {
      reading.push(broker.getToken(session, 'phone-canary', { headers }));
    }
    const answers = await Promise.all(reading);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(new Set(answers.map(accessTokenOf)).size).toBe(1);
    expect(treeOf(await traceOf(receiver, joining.traceId), joining.traceId, shown)).toEqual([
      'GET /sdk-token waited',
      '  session check cached',
      '  store read',
      '  renewal',
      '    lease wait',
    ]);
    const ofRemote = treeOf(await traceOf(receiver, remote.traceId), remote.traceId, shown);
    expect(ofRemote).toContain('    lease wait');
    expect(ofRemote).toContain('    store acquire');
    expect(ofRemote).toContain('      store read');
    expect(ofRemote.filter((line) => line.includes('login'))).toEqual([]);
  });

  test.each([
    { fault: 'maintenance', attempts: 3, login: /^ {4}login maintenance vendor_unavailable \d+$/ },
    { fault: 'reset', attempts: 2, login: /^ {4}login unreachable vendor_unavailable$/ },
  ] as const)('a failed login names the error at each level: $fault', async ({ fault, attempts, login }) => {
    fleet.vendor.configure({ fault });
    onTestFinished(() => fleet.vendor.configure({ fault: 'none' }));
    const parent = appSpan();
    const session = await fleet.session(`dora-canary-${fault}`);
    const answer = await fleet.broker(0).getToken(session, 'phone-canary', { headers: parent.headers });
    expect(answer.status).toBe(503);
    const tree = treeOf(await traceOf(receiver, parent.traceId), parent.traceId, [...shown, 'broker.vendor_code']);
    expect(tree).toEqual([
      'GET /sdk-token vendor_unavailable',
      '  session check accepted',
      '  store read',
      '  renewal vendor_unavailable',
      '    store acquire',
      expect.stringMatching(login),
      ...Array(attempts).fill(expect.stringMatching(/^ {6}login attempt (maintenance|unreachable)$/)),
      '    store release',
    ]);
    const failed = receiver.spans().filter(({ traceId, status }) => traceId === parent.traceId && status.code === 2);
    expect(new Set(failed.map(({ name }) => name))).toEqual(
      new Set(['GET /sdk-token', 'renewal', 'login', 'login attempt']),
    );
  });

  test('a refused session, an unknown path and a request with a body to the internal API are traced', async () => {
    const [refused, unknown, lookup] = [appSpan(), appSpan(), appSpan()] as const;
    const { url } = fleet.broker(0);
    await fleet.broker(0).getToken('not-a-session-canary', 'phone-canary', { headers: refused.headers });
    await plainRequest(`${url}/nothing-canary?uniqueId=phone-canary`, { headers: unknown.headers });
    const accessIds = ['access-canary'];
    const answer = await askInternal(fleet.broker(0), 'POST /accounts/lookup', { accessIds }, lookup.headers);
    expect(answer.status).toBe(200);
    await traceOf(receiver, refused.traceId);
    await traceOf(receiver, unknown.traceId, 'GET');
    await traceOf(receiver, lookup.traceId, 'POST /accounts/lookup');
    expect(treeOf(receiver.spans(), refused.traceId, shown)).toEqual([
      'GET /sdk-token session_invalid',
      '  session check malformed session_invalid',
    ]);
    expect(treeOf(receiver.spans(), unknown.traceId, shown)).toEqual(['GET not_found']);
    expect(treeOf(receiver.spans(), lookup.traceId)).toEqual(['POST /accounts/lookup', '  store look_up']);
  });

  test('a malformed traceparent is ignored, and one that is not sampled turns tracing off for the request', async () => {
    const session = await fleet.session('erik-canary');
    const [malformed, unsampled] = [appSpan(), appSpan()] as const;
    const traceparents = [`01-${malformed.traceId}-short-01`, `00-${unsampled.traceId}-${unsampled.spanId}-00`];
    for (const [index, traceparent] of traceparents.entries()) {
      await fleet.broker(0).getToken(session, `phone-canary-${index}`, { headers: { traceparent } });
    }
    const probe = appSpan();
    await fleet.broker(0).getToken(session, 'phone-canary', { headers: probe.headers });
    await traceOf(receiver, probe.traceId);
    const traceIds = receiver.spans().map(({ traceId }) => traceId);
    expect(traceIds).not.toContain(malformed.traceId);
    expect(traceIds).not.toContain(unsampled.traceId);
    const roots = receiver.spans().filter(({ name, parentSpanId }) => name === 'GET /sdk-token' && !parentSpanId);
    expect(roots.length).toBeGreaterThan(0);
  });

  test('a background renewal starts a trace of its own', async () => {
    fleet.vendor.configure({ tokenLifetimeSeconds: 10 });
    onTestFinished(() => fleet.vendor.configure({ tokenLifetimeSeconds: 86_400 }));
    const parent = appSpan();
    const session = await fleet.session('fred-canary');
    await fleet.broker(0).getToken(session, 'phone-canary', { headers: parent.headers });
    fleet.vendor.configure({ tokenLifetimeSeconds: 86_400 });
    const isRenewal = ({ name, parentSpanId }: ReceivedSpan) => name === 'renewal' && !parentSpanId;
    await eventually(() => receiver.spans().some(isRenewal));
    const renewal = named(receiver.spans().filter(isRenewal), 'renewal');
    expect(renewal.attributes).toEqual({ 'broker.renewal_cause': 'background', 'broker.renewal_outcome': 'login' });
    expect(treeOf(receiver.spans(), renewal.traceId, shown)).toEqual([
      'renewal login',
      '  store acquire',
      '  login success',
      '    login attempt',
      '  store save',
    ]);
    expect(renewal.traceId).not.toBe(parent.traceId);
  });

  test('log lines of a sampled request name its trace', async () => {
    const session = await fleet.session('gina-canary');
    const query = { regRegion: 'nowhere-canary' };
    const other = appSpan();
    await fleet.broker(0).getToken(session, 'phone-canary', { query, headers: other.headers });
    const lines = await eventually(() => {
      const found = fleet
        .broker(0)
        .log()
        .filter((line) => line.includes(other.traceId));
      expect(found).not.toEqual([]);
      return found;
    });
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { msg: 'request refused', code: 'request_invalid', traceId: other.traceId },
    ]);
    const withoutTrace = fleet
      .broker(0)
      .log()
      .find((line) => line.includes('"ready"'));
    expect(withoutTrace).not.toContain('traceId');
  });

  test('sessions in mode forward: nothing of a trace reaches the session server', async () => {
    const exp = Math.floor(Date.now() / 1_000) + 600;
    const { origin } = await recordingServer(json({ sub: 'hugo-canary', region: 'DE', exp }));
    const broker = await startBroker({
      ...fleet.vendor.brokerEnvironment,
      ...tracingTo(receiver),
      SESSION_MODE: 'forward',
      SESSION_FORWARD_URL: `${origin}/me`,
    });
    const before = outgoing.length;
    const parent = appSpan();
    const headers = { ...parent.headers, tracestate: 'app=1' };
    expect((await broker.getToken('cookie-canary', 'phone-canary', { headers })).status).toBe(200);
    expect(outgoing.length).toBe(before + 2);
    expect(treeOf(await traceOf(receiver, parent.traceId), parent.traceId)).toContain('    store acquire');
  });

  test('nothing of a trace went to the vendor or the customer cloud, and no export names a person or a secret', async () => {
    for (let number = 0; number < 12; number += 1) {
      const { traceId, headers } = appSpan();
      const session = await fleet.session(`ivan-canary-${number}`);
      await fleet.broker(0).getToken(session, 'phone-canary', { headers: { ...headers, tracestate: 'app=canary' } });
      await traceOf(receiver, traceId);
    }
    expect(outgoing.length).toBeGreaterThan(10);
    const names = new Set(outgoing.flatMap((headers) => Object.keys(headers)));
    expect([...names].filter((name) => /^(traceparent|tracestate|baggage|b3|x-b3-.*)$/.test(name))).toEqual([]);
    const exported = receiver.raw().join('\n').replaceAll(EXPORT_KEY, '').replaceAll('app=canary', '');
    expect(exported.length).toBeGreaterThan(10_000);
    // Every id, terminal and session of these tests has this word.
    expect(exported).not.toMatch(/canary|uniqueId=|eyJ|"user_agent|client\.address|demo-app/);
    for (const { events, attributes } of receiver.spans()) {
      expect(events).toEqual([]);
      expect(Object.keys(attributes).filter((key) => !EXPECTED_ATTRIBUTES.has(key))).toEqual([]);
    }
  });
});

const EXPECTED_ATTRIBUTES = new Set([
  'http.request.method',
  'http.route',
  'http.response.status_code',
  'error.type',
  'server.address',
  'db.system.name',
  'db.operation.name',
  'broker.session',
  'broker.token_source',
  'broker.renewal_cause',
  'broker.renewal_outcome',
  'broker.login_outcome',
  'broker.login_queue_ms',
  'broker.vendor_code',
]);

/**
 * The npm packages of OpenTelemetry that a broker process has evaluated, and whether it has loaded the tracing chunk.
 */
async function loadedBy(env: Readonly<Record<string, string>>): Promise<{ chunks: string[]; packages: string[] }> {
  const coverage = newFolder();
  const vendor = {
    VENDOR_BASE_URL: 'http://127.0.0.1:9',
    VENDOR_APP_ID: 'a',
    VENDOR_APP_TOKEN: 'b',
    VENDOR_APP_KEY: 'c',
  };
  const session = { SESSION_MODE: 'forward', SESSION_FORWARD_URL: 'http://127.0.0.1:9' };
  const broker = await startBroker({ ...vendor, ...session, ...env, NODE_V8_COVERAGE: coverage });
  await broker.getToken('session', 'phone', { headers: appSpan().headers });
  expect(await broker.stop()).toEqual({ code: 0, signal: null });
  const [report = ''] = await readdir(coverage);
  const { result } = JSON.parse(await readFile(join(coverage, report), 'utf8')) as { result: { url: string }[] };
  const files = result.map(({ url }) => url).filter((url) => url.includes('/dist/lib/') && !url.endsWith('.map'));
  const maps = await Promise.all(files.map((url) => readFile(new URL(`${url}.map`), 'utf8')));
  const sources = maps.flatMap((map) => (JSON.parse(map) as { sources: string[] }).sources);
  const packages = sources.flatMap((source) => /node_modules\/(@opentelemetry\/[\w-]+)\//.exec(source)?.[1] ?? []);
  return {
    chunks: files.map((url) => url.replace(/^.*\/(.*)-\w+\.js$/, '$1')).filter((name) => name !== 'chunk'),
    packages: [...new Set(packages)],
  };
}

describe('what is loaded', () => {
  // prom-client evaluates the API package, which is small. No other package of OpenTelemetry may be in a loaded file.
  test('nothing of tracing without an endpoint', async () => {
    const { chunks, packages } = await loadedBy({});
    expect(chunks).toContain('serve');
    expect(chunks).not.toContain('tracing');
    expect(packages).toEqual(['@opentelemetry/api']);
  });
});

describe('a receiver that fails', () => {
  async function brokerFor(url: string, timeoutMs = '10000'): Promise<{ broker: BrokerProcess; session: string }> {
    const env = { ...tracingTo({ url }), OTEL_EXPORTER_OTLP_TIMEOUT: timeoutMs };
    const fleet = await startFleet({ replicas: 1, env });
    return { broker: fleet.broker(0), session: await fleet.session('alice') };
  }

  test('and never answers delays the end of the broker by a second at most', async () => {
    const receiver = await startOtlpReceiver('hang');
    const { broker, session } = await brokerFor(receiver.url);
    await broker.getToken(session, 'phone', { headers: appSpan().headers });
    await eventually(() => receiver.raw().length > 0);
    await broker.getToken(session, 'phone', { headers: appSpan().headers });
    const startedAt = performance.now();
    expect(await broker.stop()).toEqual({ code: 0, signal: null });
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(900);
    expect(tookMs).toBeLessThan(4_000);
    // The spans that waited were sent too.
    expect(receiver.raw().length).toBeGreaterThan(1);
  });

  test('and cannot be reached leaves one warning, and a flood of sampled traces fails no read', async () => {
    const { broker, session } = await brokerFor(`http://127.0.0.1:${await freePort()}`, '300');
    await broker.getToken(session, 'phone', { headers: appSpan().headers });
    const statuses: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const reads = Array.from({ length: 50 }, () => broker.getToken(session, 'phone', { headers: appSpan().headers }));
      statuses.push(...(await Promise.all(reads)).map(({ status }) => status));
    }
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(await broker.stop()).toEqual({ code: 0, signal: null });
    const warnings = broker.log().filter((line) => line.includes('"level":"warn"') && /span|tracing/.test(line));
    expect(warnings).toEqual([expect.stringContaining('spans could not be sent and are lost')]);
  });
});
