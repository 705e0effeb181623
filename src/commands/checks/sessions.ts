import { verificationKey } from '../../session/jwt-verifier.ts';
import { probeForward, probeIntrospection, probeJwks } from '../../session/session-probe.ts';
import { UnexpectedStatus } from '../../session/session-server.ts';
import type { SessionOptions } from '../../session/session-verifier.ts';
import type { Clock } from '../../token/clock.ts';
import { type Finding, fail, ok } from './finding.ts';
import { networkTrouble } from './network-trouble.ts';

/** Whether sessions can be checked, and are checked at all. */
export async function checkSessions(session: SessionOptions, clock: Clock): Promise<Finding[]> {
  switch (session.mode) {
    case 'jwt':
      return [await checkKey(session, clock)];
    case 'introspection':
      return [await checkIntrospection(session, clock)];
    case 'forward':
      return [await checkForward(session)];
  }
}

type Mode<Name extends SessionOptions['mode']> = Extract<SessionOptions, { readonly mode: Name }>;

async function checkKey({ key, algorithms }: Mode<'jwt'>, clock: Clock): Promise<Finding> {
  const what = 'session keys';
  const accepted = algorithms ?? verificationKey(key, clock).algorithms;
  if ('secret' in key) return ok(what, `a shared secret for ${accepted.join(', ')}`);
  if ('publicKeyPem' in key) return ok(what, `a public key for ${accepted.join(', ')}`);
  const address = shown(key.jwksUrl);
  try {
    const { keys, algorithms: usable } = await probeJwks(key.jwksUrl, accepted);
    const published = `${address} publishes ${keys === 1 ? '1 key' : `${keys} keys`}`;
    if (usable.length > 0) return ok(what, `${published}, good for ${usable.join(', ')}`);
    return fail(what, {
      detail: `${published}, none of use for ${accepted.join(', ')}`,
      mend: 'publish the public key that sessions are signed with, or correct SESSION_JWT_ALGORITHMS',
    });
  } catch (error) {
    return unasked(what, error, { address, setting: 'SESSION_JWT_JWKS_URL' }, 'a JWK Set, {"keys":[…]}');
  }
}

async function checkIntrospection(session: Mode<'introspection'>, clock: Clock): Promise<Finding> {
  const what = 'introspection';
  const address = shown(session.url);
  try {
    if (!(await probeIntrospection(session, clock))) return ok(what, `${address} calls a made-up token inactive`);
    return fail(what, {
      detail: `${address} calls a made-up token active: anybody would get in`,
      mend: 'SESSION_INTROSPECTION_URL must name an endpoint that checks tokens (RFC 7662)',
    });
  } catch (error) {
    if (error instanceof UnexpectedStatus && [400, 401, 403].includes(error.status)) {
      return fail(what, {
        detail: `${address} refuses our client id and secret (HTTP ${error.status})`,
        mend: 'correct SESSION_INTROSPECTION_CLIENT_ID and _CLIENT_SECRET; the client must be allowed to introspect, and to authenticate with HTTP Basic',
      });
    }
    return unasked(what, error, { address, setting: 'SESSION_INTROSPECTION_URL' }, 'JSON as RFC 7662 describes it');
  }
}

async function checkForward({ url }: Mode<'forward'>): Promise<Finding> {
  const what = 'session server';
  const address = shown(url);
  try {
    const status = await probeForward(url);
    if (status === 401 || status === 403) return ok(what, `${address} refuses a request without a session (${status})`);
    if (status >= 200 && status < 300) {
      return fail(what, {
        detail: `${address} answers ${status} though there is no session: anybody may get in`,
        mend: 'it must answer 401 or 403 unless the headers hold a session; correct it, or SESSION_FORWARD_URL',
      });
    }
    return fail(what, {
      detail: `${address} answers ${status} to a request without a session`,
      mend: 'it must answer 401 or 403 then, without a redirect; correct it, or SESSION_FORWARD_URL',
    });
  } catch (error) {
    return unasked(what, error, { address, setting: 'SESSION_FORWARD_URL' }, 'UTF-8 of at most 64 KiB');
  }
}

interface Server {
  readonly address: string;
  readonly setting: string;
}

/** @param expected what it should have answered with */
function unasked(what: string, error: unknown, { address, setting }: Server, expected: string): Finding {
  const code = codeOf(error);
  if (code) return fail(what, networkTrouble(code, { address, setting }));
  const answer = error instanceof UnexpectedStatus ? `HTTP ${error.status}` : 'something else';
  return fail(what, { detail: `${address} answers with ${answer} instead of ${expected}`, mend: `correct ${setting}` });
}

/** Of the failed connection `fetch` wraps; none where an answer came. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error.name === 'TimeoutError') return 'timeout';
  if ('code' in error && typeof error.code === 'string' && /^[A-Z_0-9]+$/.test(error.code)) return error.code;
  return codeOf(error.cause);
}

/** Without the query, which may hold a key. */
function shown({ origin, pathname }: URL): string {
  return origin + pathname;
}
