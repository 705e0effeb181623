import { verificationKey } from '../../session/jwt-verifier.ts';
import { probeForward, probeIntrospection, probeJwks } from '../../session/session-probe.ts';
import { networkErrorCode, UnexpectedStatus } from '../../session/session-server.ts';
import { acceptsForeignTokens, type SessionOptions } from '../../session/session-verifier.ts';
import type { Clock } from '../../token/clock.ts';
import { type CheckResult, fail, networkProblem, ok, type Target, warn } from './check-result.ts';

/** Checks that the broker can verify sessions, and that the session server refuses requests without a session. */
export async function checkSessions(session: SessionOptions, clock: Clock): Promise<CheckResult[]> {
  switch (session.mode) {
    case 'jwt':
      return [await checkKey(session, clock)];
    case 'introspection':
      return [await checkIntrospection(session, clock), ...checkPurpose(session)];
    case 'forward':
      return [await checkForward(session, clock)];
  }
}

type Mode<Name extends SessionOptions['mode']> = Extract<SessionOptions, { readonly mode: Name }>;

async function checkKey({ key, algorithms }: Mode<'jwt'>, clock: Clock): Promise<CheckResult> {
  const name = 'session keys';
  const accepted = algorithms ?? verificationKey(key, clock).algorithms;
  if ('secret' in key) return ok(name, `a shared secret for ${accepted.join(', ')}`);
  if ('publicKeyPem' in key) return ok(name, `a public key for ${accepted.join(', ')}`);
  const address = withoutQuery(key.jwksUrl);
  try {
    const { keys, algorithms: usable } = await probeJwks(key.jwksUrl, accepted, clock);
    const published = `${address} publishes ${keys === 1 ? '1 key' : `${keys} keys`}`;
    if (usable.length > 0) return ok(name, `${published}, usable for ${usable.join(', ')}`);
    return fail(name, {
      detail: `${published}, but none for ${accepted.join(', ')}`,
      fix: 'Publish the public key that verifies your sessions, or correct SESSION_JWT_ALGORITHMS.',
    });
  } catch (error) {
    return requestFailed(name, error, { address, setting: 'SESSION_JWT_JWKS_URL' }, 'a JWK Set, {"keys":[…]}');
  }
}

async function checkIntrospection(session: Mode<'introspection'>, clock: Clock): Promise<CheckResult> {
  const name = 'introspection';
  const address = withoutQuery(session.url);
  try {
    if (!(await probeIntrospection(session, clock)))
      return ok(name, `${address} says that an invented token is inactive`);
    return fail(name, {
      detail: `${address} says that an invented token is active: it would accept any token`,
      fix: 'Set SESSION_INTROSPECTION_URL to an endpoint that checks tokens (RFC 7662).',
    });
  } catch (error) {
    if (error instanceof UnexpectedStatus && [400, 401, 403].includes(error.status)) {
      return fail(name, {
        detail: `${address} refuses the client id and secret of the broker (HTTP ${error.status})`,
        fix: 'Correct SESSION_INTROSPECTION_CLIENT_ID and SESSION_INTROSPECTION_CLIENT_SECRET. Allow this client to introspect tokens and to authenticate with HTTP Basic.',
      });
    }
    return requestFailed(name, error, { address, setting: 'SESSION_INTROSPECTION_URL' }, 'JSON as in RFC 7662');
  }
}

function checkPurpose(session: Mode<'introspection'>): CheckResult[] {
  if (!acceptsForeignTokens(session)) return [];
  const detail = 'every active token of the OAuth server is accepted, also one that was issued for another service';
  const fix =
    'Set SESSION_INTROSPECTION_AUDIENCE or SESSION_INTROSPECTION_SCOPE to a value that only tokens for the broker have.';
  return [warn('token purpose', { detail, fix })];
}

async function checkForward({ url }: Mode<'forward'>, clock: Clock): Promise<CheckResult> {
  const name = 'session server';
  const address = withoutQuery(url);
  const setting = 'SESSION_FORWARD_URL';
  try {
    const status = await probeForward(url, clock);
    if (status === 401 || status === 403) return ok(name, `${address} refuses a request without a session (${status})`);
    const isAccepted = status >= 200 && status < 300;
    return fail(name, {
      detail: `${address} answers ${status} to a request without a session${isAccepted ? ': anyone could get in' : ''}`,
      fix: `Make the server answer 401 or 403 to such a request, without a redirect, or correct ${setting}.`,
    });
  } catch (error) {
    return requestFailed(name, error, { address, setting }, 'UTF-8 text of at most 64 KiB');
  }
}

function requestFailed(name: string, error: unknown, target: Target, expected: string): CheckResult {
  const code = networkErrorCode(error);
  if (code) return fail(name, networkProblem(code, target));
  const { address, setting } = target;
  const answer = error instanceof UnexpectedStatus ? `HTTP ${error.status}` : 'something else';
  return fail(name, { detail: `${address} answers with ${answer} instead of ${expected}`, fix: `Correct ${setting}.` });
}

/** The query may contain a key. */
function withoutQuery({ origin, pathname }: URL): string {
  return origin + pathname;
}
