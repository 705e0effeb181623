import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CustomerCloud, startCustomerCloud } from '../../src/simulator/customer-cloud.ts';
import { type HttpServer, listen, readBody, sendJson } from '../../src/simulator/http-server.ts';
import { startVendorSimulator } from '../../src/simulator/vendor-simulator.ts';
import { type BrokerProcess, startBroker } from '../../test/support/broker-process.ts';
import { plainRequest } from '../../test/support/plain-request.ts';
import { VENDOR_APP } from '../../test/support/vendor-app.ts';
import { type MeasuredRedis, startMeasuredRedis } from '../scale/measured-redis.ts';

export const KEY_PREFIX = 'sdkt';
/** Short enough that tokens are renewed and expire during a run. */
const TOKEN_LIFETIME_SECONDS = 900;
const VENDOR_LATENCY_MS = 50;
/** How long the session server takes for a session that does not exist. */
const SEARCH_MS = 600;
/** The JWKS URL answers in the first part of each minute, and fails in the rest of it. */
const [JWKS_PERIOD_MS, JWKS_WORKS_MS] = [60_000, 10_000];
/** Apps get a new session this often. */
const SESSION_MS = 60_000;
/** The longest run, and some time to start and stop. */
const JWT_SECONDS = 4 * 3_600;
/** The country of the accounts that the vendor refuses, by the first part of their name. */
const BAD_REGIONS = new Map([
  ['unknown', 'AQ'],
  ['frequent', 'BV'],
  ['fields', 'HM'],
]);

type Mode = 'jwt' | 'introspection' | 'forward';

export interface Replica {
  /** How it checks sessions. No single mode can carry all attacks. */
  readonly mode: Mode;
  readonly broker: BrokerProcess;
  /** The headers of a request with a session of this account. */
  sessionOf(account: string): Promise<Readonly<Record<string, string>>>;
}

export interface Targets {
  readonly redis: MeasuredRedis;
  readonly cloud: CustomerCloud;
  readonly replicas: readonly [jwt: Replica, introspection: Replica, forward: Replica];
  close(): Promise<void>;
}

/** Starts three replicas, each with another session mode, on one Redis and one vendor. */
export async function startTargets(): Promise<Targets> {
  const redis = await startMeasuredRedis();
  const vendor = await startVendorSimulator({
    apps: [VENDOR_APP],
    latencyMs: VENDOR_LATENCY_MS,
    tokenLifetimeSeconds: TOKEN_LIFETIME_SECONDS,
  });
  const front = await listen('127.0.0.1', 0, (request, response) => answerLogin(vendor.url, request, response));
  const cloud = await startCustomerCloud({ sessionSeconds: JWT_SECONDS });
  const { body: keys } = await plainRequest(cloud.jwksUrl);
  const startedAt = performance.now();
  const jwks = await listen('127.0.0.1', 0, async (_request, response) => {
    const works = (performance.now() - startedAt) % JWKS_PERIOD_MS < JWKS_WORKS_MS;
    sendJson(response, works ? JSON.parse(keys) : {}, works ? 200 : 503);
  });
  const sessions = await listen('127.0.0.1', 0, answerSession);
  const common = {
    NODE_ENV: 'production',
    // Answers that are large make slow readers cost more.
    API_DOCS: 'true',
    REDIS_URL: redis.url,
    REDIS_KEY_PREFIX: KEY_PREFIX,
    TOKEN_ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
    ADMIN_TOKENS: `ops:${randomBytes(24).toString('hex')}`,
    ...vendor.brokerEnvironment,
    VENDOR_BASE_URL: front.url,
  };
  const settings: Readonly<Record<Mode, Readonly<Record<string, string>>>> = {
    jwt: { ...cloud.brokerEnvironment, SESSION_JWT_JWKS_URL: `${jwks.url}/` },
    introspection: {
      SESSION_INTROSPECTION_URL: `${sessions.url}/introspect`,
      SESSION_INTROSPECTION_CLIENT_ID: 'broker',
      SESSION_INTROSPECTION_CLIENT_SECRET: 'secret',
      SESSION_INTROSPECTION_AUDIENCE: AUDIENCE,
    },
    forward: { SESSION_FORWARD_URL: `${sessions.url}/whoami`, SESSION_FORWARD_COOKIES: 'sid' },
  };
  const jwts = newSessions((account) => cloud.issueSession({ unionId: account, region: regionOf(account) }));
  const headersIn: Readonly<Record<Mode, Replica['sessionOf']>> = {
    jwt: async (account) => ({ authorization: `Bearer ${await jwts(account)}` }),
    introspection: async (account) => ({ authorization: `Bearer ${opaqueSession(account)}` }),
    forward: async (account) => ({ cookie: `sid=${opaqueSession(account)}` }),
  };
  const start = async (mode: Mode): Promise<Replica> => {
    const broker = await startBroker({ ...common, SESSION_MODE: mode, ...settings[mode] });
    return { mode, broker, sessionOf: headersIn[mode] };
  };
  const replicas = [await start('jwt'), await start('introspection'), await start('forward')] as const;
  return {
    redis,
    cloud,
    replicas,
    async close() {
      await Promise.all(replicas.map(({ broker }) => broker.stop()));
      const servers: readonly HttpServer[] = [front, vendor, cloud, jwks, sessions];
      await Promise.all(servers.map((server) => server.close()));
      await redis.close();
    },
  };
}

const AUDIENCE = 'sdk-token-broker';

function regionOf(account: string): string {
  return BAD_REGIONS.get(account.split('-')[0] ?? '') ?? 'DE';
}

/** The vendor. Some countries make it answer an unknown code, that logins come too frequently, or far too much. */
async function answerLogin(vendorUrl: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = String(await readBody(request));
  const { regRegion } = JSON.parse(body) as { regRegion: string };
  if (regRegion === BAD_REGIONS.get('unknown')) {
    return sendJson(response, { code: 77_777, msg: 'no such place', requestId: 'r' });
  }
  if (regRegion === BAD_REGIONS.get('frequent')) {
    return sendJson(response, { code: 10_015, msg: 'too frequent', requestId: 'r' }, 429, { 'retry-after': '1' });
  }
  if (regRegion === BAD_REGIONS.get('fields')) {
    const fields = Object.fromEntries(Array.from({ length: 5_000 }, (_, number) => [`field${number}`, 'x']));
    return sendJson(response, { code: 0, msg: 'ok', requestId: 'r', data: fields });
  }
  const { method = 'POST', url = '/' } = request;
  const headers = request.headers as Record<string, string>;
  const answer = await plainRequest(new URL(url, vendorUrl), { method, headers, body });
  response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body);
}

/** A session of the account `<kind>-<number>`. `refresh-…` is a refresh token. The server knows no other sessions. */
const SESSION = /^(?:sid=)?((known|newcomer|loop|logout|unknown|frequent|fields|long|junk|refresh)-\d+)(?:\.\d+)?$/;

/** The session server: introspection (RFC 7662) at POST, and the claims of a session cookie at GET. */
async function answerSession(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const session =
    request.method === 'POST'
      ? (new URLSearchParams(String(await readBody(request))).get('token') ?? '')
      : (request.headers.cookie ?? '');
  const [, account, kind] = SESSION.exec(session) ?? [];
  if (account === undefined) await sleep(SEARCH_MS);
  const claims = account !== undefined && {
    sub: account,
    region: regionOf(account),
    exp: Math.floor(Date.now() / 1_000) + 3_600,
  };
  if (request.method !== 'POST') return sendJson(response, claims || {}, claims ? 200 : 401);
  const type = kind === 'refresh' ? 'refresh_token' : 'Bearer';
  sendJson(response, claims ? { active: true, aud: AUDIENCE, token_type: type, ...claims } : { active: false });
}

function opaqueSession(account: string): string {
  return `${account}.${Math.floor(Date.now() / SESSION_MS)}`;
}

/** Issues a new session to each account after a while. */
function newSessions(issue: (account: string) => Promise<string>): (account: string) => Promise<string> {
  const issued = new Map<string, { readonly session: Promise<string>; readonly at: number }>();
  return (account) => {
    const former = issued.get(account);
    if (former && former.at > Date.now() - SESSION_MS) return former.session;
    const session = issue(account);
    issued.set(account, { session, at: Date.now() });
    return session;
  };
}
