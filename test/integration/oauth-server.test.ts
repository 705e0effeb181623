import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createSessionVerifier } from '../../src/session/session-verifier.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { BrokerError } from '../../src/token/errors.ts';
import type { SessionVerifier } from '../../src/token/principal.ts';
import { accountId } from '../../src/token/subject.ts';
import { SILENCE } from '../support/broker-parts.ts';
import { silentObserver } from '../support/silent-observer.ts';
import { CLAIM_NAMES } from '../unit/session/sessions.ts';
import { AUDIENCE, BROKER, newSigningKey, OAuthServer } from './oauth-server.ts';

const CLAIMS = { ...CLAIM_NAMES, unionId: 'account.id', region: 'account.country' };
const CACHE_SECONDS = 30;

let server: OAuthServer;
let verifier: SessionVerifier;

beforeEach(() => {
  // jose and the OAuth server measure time by Date. Sockets and timers stay real.
  vi.useFakeTimers({ toFake: ['Date'] });
  // At each start the OAuth server warns about its missing database and its default policies.
  vi.spyOn(console, 'warn').mockReturnValue();
  vi.spyOn(console, 'info').mockReturnValue();
});

afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await server.stop();
});

/** The broker's monotonic time passes with the date too. */
const clock = { ...systemClock, monotonic: () => Date.now() };

function passSeconds(seconds: number): void {
  vi.setSystemTime(Date.now() + seconds * 1_000);
}

async function outcome(session: string): Promise<string> {
  try {
    return (await verifier.verify(session)).unionId;
  } catch (error) {
    return (error as BrokerError).code;
  }
}

describe('JWTs of an OAuth server', () => {
  it('are accepted as long as the server publishes their key', async () => {
    server = new OAuthServer('jwt');
    await server.start();
    const [oldKey, newKey] = await Promise.all([newSigningKey('old'), newSigningKey('new')]);
    server.publish([oldKey]);
    verifier = createSessionVerifier(
      {
        mode: 'jwt',
        key: { jwksUrl: server.url('/jwks') },
        issuer: server.issuer,
        audience: AUDIENCE,
        claims: CLAIMS,
        cacheSeconds: CACHE_SECONDS,
      },
      { maxBytes: 2 ** 20, clock, observer: silentObserver, announcements: SILENCE },
    );
    const issuedAt = Math.floor(Date.now() / 1_000) * 1_000;
    const old = await server.issue('somebody');
    expect(await verifier.verify(old)).toEqual({
      unionId: 'account-of-somebody',
      region: 'DE',
      app: undefined,
      issuedAt,
      expiresAt: issuedAt + 86_400_000,
      account: accountId('account-of-somebody'),
    });

    server.publish([newKey, oldKey]);
    passSeconds(5);
    expect(await outcome(await server.issue('somebody-else'))).toBe('account-of-somebody-else');
    passSeconds(CACHE_SECONDS);
    expect(await outcome(old)).toBe('account-of-somebody');
    expect(server.calls('/jwks')).toBe(2);

    server.publish([newKey]);
    passSeconds(600);
    expect(await outcome(old)).toBe('session_invalid');
    expect(await outcome(await server.issue('somebody'))).toBe('account-of-somebody');
    expect(server.calls('/jwks')).toBe(3);
  });
});

describe('opaque tokens of an OAuth server', () => {
  beforeEach(async () => {
    server = new OAuthServer('opaque');
    await server.start();
    server.publish([await newSigningKey('only')]);
    const url = server.url('/token/introspection');
    verifier = createSessionVerifier(
      { mode: 'introspection', url, ...BROKER, claims: CLAIMS, cacheSeconds: CACHE_SECONDS },
      { maxBytes: 2 ** 20, clock, observer: silentObserver, announcements: SILENCE },
    );
  });

  const introspections = () => server.calls('/token/introspection');

  it('name the account, and many concurrent callers cause one introspection', async () => {
    const issuedAt = Math.floor(Date.now() / 1_000) * 1_000;
    const [one, other] = await Promise.all([server.issue('somebody'), server.issue('somebody-else')]);
    const crowd = Array.from({ length: 50 }, () => [verifier.verify(one), verifier.verify(other)]).flat();
    expect(new Set((await Promise.all(crowd)).map(({ unionId }) => unionId))).toEqual(
      new Set(['account-of-somebody', 'account-of-somebody-else']),
    );
    expect(introspections()).toBe(2);
    expect(await verifier.verify(one)).toMatchObject({ region: 'DE', issuedAt, expiresAt: issuedAt + 86_400_000 });
  });

  it('are refused within SESSION_CACHE_SECONDS after they were revoked', async () => {
    const [revoked, kept] = await Promise.all([server.issue('somebody'), server.issue('somebody')]);
    expect(await outcome(revoked)).toBe('account-of-somebody');
    await server.revoke('somebody', revoked);
    passSeconds(CACHE_SECONDS);
    expect(await outcome(revoked)).toBe('session_invalid');
    expect(await outcome(kept)).toBe('account-of-somebody');
    passSeconds(3_600);
    expect(await outcome(revoked)).toBe('session_invalid');
  });

  it('are refused if they were never issued or have expired', async () => {
    expect(await outcome('nobody-issued-this')).toBe('session_invalid');
    const session = await server.issue('somebody');
    expect(await outcome(session)).toBe('account-of-somebody');
    passSeconds(86_400);
    expect(await outcome(session)).toBe('session_invalid');
  });

  it('stay accepted for 10 s without the server if they are cached, and are never refused if they are not', async () => {
    const known = await Promise.all(Array.from({ length: 10 }, () => server.issue('somebody')));
    for (const session of known) expect(await outcome(session)).toBe('account-of-somebody');
    const unknown = await Promise.all(Array.from({ length: 10 }, () => server.issue('somebody')));
    passSeconds(CACHE_SECONDS - 5);

    await server.stop();
    for (let second = 0; second <= 10; second += 1) {
      expect(await Promise.all(known.map(outcome))).toEqual(known.map(() => 'account-of-somebody'));
      expect(await Promise.all(unknown.map(outcome))).toEqual(unknown.map(() => 'session_check_unavailable'));
      passSeconds(1);
    }

    await server.start();
    passSeconds(1);
    const before = introspections();
    expect(await Promise.all([...known, ...unknown].map(outcome))).toEqual(Array(20).fill('account-of-somebody'));
    expect(introspections() - before).toBe(20);
  });
});
