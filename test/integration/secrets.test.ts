import { randomBytes, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { Redis } from 'ioredis';
import { type JWTPayload, SignJWT } from 'jose';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from '../../src/simulator/http-server.ts';
import { FAULTS } from '../../src/simulator/vendor-settings.ts';
import { DEMO_APP } from '../../src/simulator/vendor-simulator.ts';
import { startBroker } from '../support/broker-process.ts';
import { type Replica, startBrokerService } from '../support/broker-service.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { plainRequest } from '../support/plain-request.ts';
import { startRedis } from '../support/redis-server.ts';

const KEY =
  /^[\w-]+:(?:\{\d{1,2}\}:(?:[aifcr]:[\w-]{22}|l:[\w-]{44}|due|changes)|\{logins\}(?::[\w-]{22})?|\{replicas\})$/;

/** Everything that must not be shown, each with its forms. */
const secrets = new Map<string, readonly Buffer[]>();

function hide(secret: string): void {
  if (!secrets.has(secret)) secrets.set(secret, formsOf(secret));
}

function canary(name: string): string {
  const secret = `canary-${name}-${randomBytes(10).toString('hex')}`;
  hide(secret);
  return secret;
}

/** The forms in which a secret might be shown: as it is, encoded at any alignment, as bytes, or packed by the store. */
function formsOf(secret: string): Buffer[] {
  const bytes = Buffer.from(secret);
  const texts = [secret, encodeURIComponent(secret), bytes.toString('hex'), bytes.join(',')];
  const tails = [0, 1, 2].map((skip) => bytes.subarray(skip, bytes.length - ((bytes.length - skip) % 3)));
  texts.push(...tails.flatMap((tail) => [tail.toString('base64'), tail.toString('base64url')]));
  const forms = texts.map((form) => Buffer.from(form));
  if (/^(?:[0-9a-f]{2})+$/.test(secret)) forms.push(Buffer.from(secret, 'hex'));
  if (/^-?\d{18,19}$/.test(secret)) forms.push(Buffer.from(new BigInt64Array([BigInt(secret)]).buffer).swap64());
  return forms;
}

function secretsIn(shown: string | Buffer): string[] {
  const bytes = Buffer.from(shown);
  return [...secrets].flatMap(([secret, forms]) => (forms.some((form) => bytes.includes(form)) ? secret : []));
}

/** All keys of a Redis, each with the bytes of its name, fields, members and values. */
async function dump(url: string): Promise<[name: string, bytes: Buffer][]> {
  const redis = new Redis(url);
  const entries: [name: string, bytes: Buffer][] = [];
  for await (const keys of redis.scanStream()) {
    for (const key of keys as string[]) {
      const type = await redis.type(key);
      const parts: (string | Buffer)[] = [key];
      if (type === 'hash') parts.push(...Object.entries(await redis.hgetallBuffer(key)).flat());
      else if (type === 'zset') parts.push(...(await redis.zrangeBuffer(key, 0, '-1')));
      else if (type === 'stream') parts.push(...(await redis.xrange(key, '-', '+')).flat(2));
      else parts.push((await redis.getBuffer(key)) ?? '');
      entries.push([key, Buffer.concat(parts.map((part) => Buffer.from(part)))]);
    }
  }
  redis.disconnect();
  return entries;
}

/** A vendor that repeats the request in every part of its answers. */
async function startEchoingVendor(): Promise<string> {
  let requests = 0;
  const { url, close } = await listen('127.0.0.1', 0, async (request, response) => {
    const echo = JSON.stringify(request.headers) + (await text(request));
    const bodies = [
      JSON.stringify({ code: 10_003, msg: echo, data: { [echo]: echo } }),
      JSON.stringify({ code: 0, msg: echo, data: { accessToken: echo, [echo]: echo } }),
      JSON.stringify({ code: 10_007, msg: `${echo}:-2` }),
      `{"code":${echo}`,
    ];
    response.writeHead(requests % 2 === 0 ? 200 : 500, { location: `/${encodeURIComponent(echo)}` });
    response.end(bodies[requests++ % bodies.length]);
  });
  onTestFinished(close);
  return url;
}

test('no secret reaches a log or an error, and none reaches Redis unencrypted, whatever happens', async () => {
  const [appToken, appKey] = [canary('appToken'), canary('appKey')];
  const [password, hmac, key] = [canary('password'), canary('hmac-secret'), randomBytes(32).toString('base64')];
  hide(key);
  const redis = await startRedis({ args: ['--requirepass', password] });
  const redisUrl = redis.url.replace('//', `//:${password}@`);
  const env = {
    LOG_LEVEL: 'debug',
    REDIS_URL: redisUrl,
    TOKEN_ENCRYPTION_KEYS: `k1:${key}`,
    VENDOR_APP_TOKEN: appToken,
    VENDOR_APP_KEY: appKey,
    VENDOR_REGION_URLS: JSON.stringify({ FR: await startEchoingVendor() }),
    VENDOR_TIMEOUT_MS: '800',
    VENDOR_MAX_RPS: '0',
    SESSION_JWT_JWKS_URL: '',
    SESSION_JWT_SECRET: hmac,
  };
  const apps = [{ ...DEMO_APP, appToken, appKey }];
  const fleet = await startFleet({ replicas: 2, vendor: { apps, tokenLifetimeSeconds: 4 }, env });
  const { vendor, cloud } = fleet;
  const [one, two] = [fleet.broker(0), fleet.broker(1)];

  const newSession = async (claims: JWTPayload = {}, signedWith = hmac) => {
    const exp = Math.floor(Date.now() / 1_000) + 600;
    const usual = {
      iss: cloud.issuer,
      aud: cloud.audience,
      sub: canary('unionId'),
      region: 'DE',
      exp,
      name: canary('claim'),
    };
    const jwt = new SignJWT({ ...usual, ...claims }).setProtectedHeader({ alg: 'HS256' });
    const session = await jwt.sign(Buffer.from(signedWith));
    for (const part of session.split('.').slice(1)) hide(part);
    return session;
  };
  const requestIds = new Map<Replica, string[]>();
  const ask = async (broker: Replica, session: string, uniqueId = canary('uniqueId'), query = 'uniqueId=') => {
    const requestId = randomUUID();
    requestIds.set(broker, [...(requestIds.get(broker) ?? []), requestId]);
    const headers = { authorization: `Bearer ${session}`, 'x-request-id': requestId };
    const { status, body } = await plainRequest(`${broker.url}/sdk-token?${query}${uniqueId}`, { headers });
    if (status !== 200) expect(secretsIn(body)).toEqual([]);
    else for (const name of ['accessToken', 'accessId', 'terminalId']) hide(JSON.parse(body)[name]);
    return status;
  };
  const stored: [name: string, bytes: Buffer][] = [];
  const lookIntoRedisFor = (kind: string) =>
    eventually(async () => {
      const entries = await dump(redisUrl);
      stored.push(...entries);
      return entries.some(([name]) => name.includes(`}:${kind}`));
    });

  // Logins, and the content of Redis during a login.
  const [unionId, phone] = [canary('unionId'), canary('uniqueId')];
  const alice = await newSession({ sub: unionId });
  expect(await Promise.all([one, two].map((broker) => ask(broker, alice, phone)))).toEqual([200, 200]);
  vendor.configure({ latencyMs: 400 });
  const slow = ask(one, await newSession());
  await lookIntoRedisFor('l:');
  expect(await slow).toBe(200);
  vendor.configure({ latencyMs: 0 });

  // Bad sessions, and bad requests.
  const bad = [await newSession({}, canary('hmac')), await newSession({ exp: 1 }), canary('noise'), '<canary>'];
  for (const session of bad) expect(await ask(two, session)).toBe(401);
  for (const query of ['unionId=', 'uniqueId=%FF', 'uniqueId=%20', 'uniqueId=a&uniqueId=']) {
    expect(await ask(two, alice, canary('uniqueId'), query)).toBe(400);
  }
  for (const headers of [phone, `A: ${phone.repeat(500)}`]) {
    const socket = connect(Number(new URL(two.url).port), '127.0.0.1');
    socket.write(`GET /${phone} HTTP/1.1\r\nHost: broker\r\n${headers}\r\n\r\n`);
    expect(await text(socket)).toMatch(/^HTTP\/1.1 400 (?![\s\S]*canary)/);
  }

  // A vendor with each fault, a vendor that repeats the request, and background renewals.
  for (const fault of FAULTS.filter((name) => name !== 'none')) {
    vendor.configure({ fault });
    expect([fault, await ask(two, await newSession())]).not.toContain(200);
  }
  vendor.configure({ fault: 'none' });
  const echoed = Array.from({ length: 6 }, async () => ask(one, await newSession({ region: 'FR' })));
  expect(Math.min(...(await Promise.all(echoed)))).toBeGreaterThanOrEqual(500);
  const isRenewed = async () => (await ask(two, alice, phone)) === 200 && vendor.loginsOf(unionId, phone) > 1;
  await eventually(isRenewed, { everyMs: 200 });
  await lookIntoRedisFor('f:');

  // A Redis that is down and returns, a Redis that refuses the password, and brokers that cannot start.
  await redis.kill();
  for (const broker of [one, two]) await ask(broker, await newSession());
  await redis.restart();
  await eventually(async () => expect(await ask(two, await newSession())).toBe(200));
  await lookIntoRedisFor('a:');
  const wrongUrl = redisUrl.replace(password, canary('wrong-password'));
  const locked = await startBroker({ ...fleet.env, REDIS_URL: wrongUrl }, { until: '/livez' });
  await ask(locked, alice);
  const refused = { REDIS_URL: `x${redisUrl}`, TOKEN_ENCRYPTION_KEYS: key, SESSION_JWT_SECRET: canary('x') };
  const refusal = String(await startBroker({ ...fleet.env, ...refused }).catch((error: Error) => error));
  expect(refusal).toMatch(/the process ended \(1\)/);
  for (const setting of Object.keys(refused)) expect(refusal).toContain(setting);
  expect(secretsIn(refusal)).toEqual([]);

  for (const broker of [one, two, locked]) {
    const lines = broker.log();
    const answered = lines.filter((line) => /"level":"debug".*"route":"\/sdk-token".*"request answered"/.test(line));
    expect(answered.map((line) => JSON.parse(line).requestId).sort()).toEqual(requestIds.get(broker)?.sort());
    expect(lines.filter((line) => secretsIn(line).length > 0)).toEqual([]);
  }
  expect(stored.filter(([name]) => !KEY.test(name))).toEqual([]);
  expect(stored.filter(([, bytes]) => secretsIn(bytes).length > 0)).toEqual([]);

  // The search does find secrets that are stored unencrypted.
  const open = await startBrokerService({ ...fleet.env, TOKEN_ENCRYPTION_KEYS: 'off' });
  const tablet = canary('uniqueId');
  expect(await ask(open, alice, tablet)).toBe(200);
  const found = (await dump(redisUrl)).flatMap(([, bytes]) => secretsIn(bytes));
  expect(found).toEqual(expect.arrayContaining([unionId, tablet]));
  expect(found.filter((secret) => /^[0-9a-f]{128}$/.test(secret))).not.toEqual([]);
});
