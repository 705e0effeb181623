import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ForwardedSession } from '../../src/http/credentials.ts';
import { createSessionVerifier, type SessionOptions } from '../../src/session/session-verifier.ts';
import { systemClock } from '../../src/token/clock.ts';
import { brokerParts, SILENCE } from '../support/broker-parts.ts';
import { plainRequest } from '../support/plain-request.ts';
import { silentObserver } from '../support/silent-observer.ts';
import { startApp } from '../unit/http/running-app.ts';
import { type RecordingServer, recordingServer } from '../unit/session/recording-server.ts';
import { AUDIENCE, CLAIM_NAMES, claimsWith, ISSUER, newSigner, pemOf } from '../unit/session/sessions.ts';

/**
 * Requests of a few accounts with the same URLs and every mixture of headers, so that whatever is remembered of one
 * request is at hand for the next. The oracle names the account of a request on its own, without code of the broker.
 */
const RUNS = 60;
const REQUESTS_PER_RUN = 25;
const TIMEOUT_MS = 60_000;

/** Fastify is asked for the second one only. */
const URLS = ['/sdk-token?uniqueId=phone', '/sdk-token?uniqueId=phone&regRegion=DE'] as const;

type Headers = Readonly<Record<string, string>>;
/** The account whose session the headers hold; `undefined` if no session is valid. */
type Oracle = (headers: Headers) => string | undefined;

interface Mode {
  readonly session: SessionOptions;
  readonly forwarded?: ForwardedSession;
  readonly accountOf: Oracle;
  readonly requests: fc.Arbitrary<Headers>;
}

const common = { claims: CLAIM_NAMES, cacheSeconds: 30 };
const junk = fc.record(
  { 'x-device': fc.constantFrom('one', 'two'), 'user-agent': fc.constantFrom('app/1', 'app/2') },
  { requiredKeys: [] },
);

/** A random part of these headers, with a value from each list. */
function someOf(values: Readonly<Record<string, readonly string[]>>): fc.Arbitrary<Headers> {
  const arbitraries = Object.fromEntries(Object.entries(values).map(([name, all]) => [name, fc.constantFrom(...all)]));
  return fc
    .tuple(fc.record(arbitraries, { requiredKeys: [] }), junk)
    .map(([own, other]) => ({ ...other, ...own }) as Headers);
}

async function sessionServer(
  accountOf: (headers: IncomingHttpHeaders, body: string) => string | undefined,
  refusal = 401,
) {
  const server: RecordingServer = await recordingServer((_request, response) => {
    const { headers, body } = server.received.pop() ?? { headers: {}, body: '' };
    const sub = accountOf(headers, body);
    response.statusCode = sub === undefined ? refusal : 200;
    response
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ active: sub !== undefined, sub, region: 'DE' }));
  });
  return new URL(server.origin);
}

async function jwtMode(): Promise<Mode> {
  const signer = await newSigner('ES256');
  const times = { exp: Math.floor(Date.now() / 1_000) + 3_600 };
  const accounts = new Map<string, string>();
  for (const sub of ['alice', 'bob', 'carol']) {
    for (const jti of ['1', '2'])
      accounts.set(`Bearer ${await signer.sign({ ...times, sub, jti, region: 'DE' })}`, sub);
  }
  const [one = '', , other = ''] = accounts.keys();
  // The payload of one session with the signature of another.
  const mixed = [...one.split('.').slice(0, 2), other.split('.')[2]].join('.');
  // Two accounts that are the same text if a decoder replaces what is not UTF-8. The oracle knows neither.
  const latin1 = ['m\u{fc}ller', 'm\u{f6}ller'].map((sub) =>
    signer.signBytes(Buffer.from(JSON.stringify(claimsWith({ ...times, sub, region: 'DE' })), 'latin1')),
  );
  const refused = [mixed, 'Bearer x', ...(await Promise.all(latin1)).map((session) => `Bearer ${session}`)];
  return {
    session: { mode: 'jwt', key: { publicKeyPem: pemOf(signer) }, issuer: ISSUER, audience: AUDIENCE, ...common },
    accountOf: ({ authorization = '' }) => accounts.get(authorization),
    requests: someOf({ authorization: [...accounts.keys(), ...refused], cookie: ['sid=alice', 'sid=bob'] }),
  };
}

async function introspectionMode(): Promise<Mode> {
  const nameIn = (token: string) => /^session-(\w+)-\d$/.exec(token)?.[1];
  const url = await sessionServer((_headers, body) => nameIn(new URLSearchParams(body).get('token') ?? ''), 200);
  const sessions = ['alice', 'bob', 'carol'].flatMap((name) => [1, 2].map((n) => `Bearer session-${name}-${n}`));
  return {
    session: { mode: 'introspection', url, clientId: 'broker', clientSecret: 'secret', ...common },
    accountOf: ({ authorization = '' }) => nameIn(authorization.slice('Bearer '.length)),
    requests: someOf({ authorization: [...sessions, 'Bearer nobody'], cookie: ['sid=alice', 'sid=bob'] }),
  };
}

/** The session server takes every one of the forwarded headers into account. */
async function forwardMode(forwarded: ForwardedSession): Promise<Mode> {
  const names = forwarded.headers;
  const cookieIn = (cookie: string) =>
    forwarded.cookies === 'all'
      ? cookie
      : forwarded.cookies
          .flatMap((name) => cookie.split('; ').find((pair) => pair.startsWith(`${name}=`)) ?? [])
          .join('; ');
  const accountOf = (headers: IncomingHttpHeaders | Headers): string | undefined => {
    const values = names.map((name) => (name === 'cookie' ? cookieIn(headers.cookie ?? '') : (headers[name] ?? '')));
    return values.every((value) => value === '')
      ? undefined
      : createHash('sha256').update(JSON.stringify(values)).digest('hex').slice(0, 16);
  };
  const url = await sessionServer(accountOf);
  const cookie = ['sid=1', 'sid=2', 'theme=dark', 'theme=dark; sid=1', 'sid=1; theme=dark', 'sid=2; sid=1'];
  return {
    session: { mode: 'forward', url, ...common },
    forwarded,
    accountOf,
    requests: someOf({ authorization: ['Bearer a', 'Bearer b'], cookie, 'x-session': ['1', '2'] }),
  };
}

const MODES: Readonly<Record<string, () => Promise<Mode>>> = {
  jwt: jwtMode,
  introspection: introspectionMode,
  'forward with Authorization and all cookies': () =>
    forwardMode({ headers: ['authorization', 'cookie'], cookies: 'all' }),
  'forward with one cookie': () => forwardMode({ headers: ['cookie'], cookies: ['sid'] }),
  'forward with three headers and two cookies': () =>
    forwardMode({ headers: ['x-session', 'cookie', 'authorization'], cookies: ['sid', 'theme'] }),
};

test.each(Object.keys(MODES))(
  'no answer belongs to another account than the session of its request: %s',
  async (name) => {
    const { session, forwarded, accountOf, requests } = await (MODES[name] as () => Promise<Mode>)();
    const { broker, accounts, vendor } = brokerParts();
    const { origin } = await startApp({
      tokens: broker,
      accounts,
      sessions: createSessionVerifier(session, {
        maxBytes: 2 ** 20,
        clock: systemClock,
        observer: silentObserver,
        announcements: SILENCE,
      }),
      forwardedSession: forwarded,
    });
    /** The account that a token was issued for: the vendor numbers its logins. */
    const ownerOf = (body: string): string | undefined => {
      const [, number] = /^token-(\d+)$/.exec(JSON.parse(body).accessToken) ?? [];
      return vendor.requests[Number(number) - 1]?.subject.unionId;
    };
    const owners = new Set<string>();
    let served = 0;
    const property = fc.asyncProperty(fc.array(requests, { maxLength: REQUESTS_PER_RUN }), async (all) => {
      const answers = await Promise.all(
        all.map((headers, index) => plainRequest(origin + URLS[index % URLS.length], { headers })),
      );
      for (const [index, { status, body }] of answers.entries()) {
        const account = accountOf(all[index] ?? {});
        expect(status, JSON.stringify(all[index])).toBe(account === undefined ? 401 : 200);
        if (status !== 200) continue;
        expect(ownerOf(body), JSON.stringify(all[index])).toBe(account);
        owners.add(body);
        served += 1;
      }
    });
    await fc.assert(property, { seed: 14, numRuns: RUNS });
    expect(served).toBeGreaterThan(RUNS);
    expect(owners.size).toBeGreaterThan(1);
  },
  TIMEOUT_MS,
);
