import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { compactVerify, createLocalJWKSet, errors, type JWK } from 'jose';
import { type ForwardedSession, sessionSource } from '../../http/credentials.ts';
import { type CheckedClaim, reasonOf } from '../../session/claims.ts';
import { IntrospectionVerifier } from '../../session/introspection-verifier.ts';
import { fetchJwks, verificationKey } from '../../session/jwt-verifier.ts';
import { explainSession } from '../../session/session-explanation.ts';
import { networkErrorCode, type SessionServerAccess, UnexpectedStatus } from '../../session/session-server.ts';
import { acceptanceRisks, type SessionOptions } from '../../session/session-verifier.ts';
import type { Clock } from '../../token/clock.ts';
import { BrokerError } from '../../token/errors.ts';
import type { Principal } from '../../token/principal.ts';
import { accountId } from '../../token/subject.ts';
import { UsageError } from '../command-line.ts';
import { type CheckResult, fail, networkProblem, ok, type Target, warn } from './check-result.ts';

/** Checks that the broker can verify sessions, and that the session server refuses requests without a session. */
export async function checkSessions(session: SessionOptions, access: SessionServerAccess): Promise<CheckResult[]> {
  const risks = acceptanceRisks(session).map(({ risk, fix }) => warn('accepted sessions', { detail: risk, fix }));
  return [await checkServer(session, access), ...risks];
}

function checkServer(session: SessionOptions, access: SessionServerAccess): Promise<CheckResult> {
  switch (session.mode) {
    case 'jwt':
      return checkKey(session, access);
    case 'introspection':
      return checkIntrospection(session, access);
    case 'forward':
      return checkForward(session, access);
  }
}

type Mode<Name extends SessionOptions['mode']> = Extract<SessionOptions, { readonly mode: Name }>;

async function checkKey({ key, algorithms }: Mode<'jwt'>, access: SessionServerAccess): Promise<CheckResult> {
  const name = 'session keys';
  const accepted = algorithms ?? verificationKey(key).algorithms;
  if ('secret' in key) return ok(name, `a shared secret for ${accepted.join(', ')}`);
  if ('publicKeyPem' in key) return ok(name, `a public key for ${accepted.join(', ')}`);
  const address = withoutQuery(key.jwksUrl);
  try {
    const { keys } = await fetchJwks(key.jwksUrl, access);
    const published = `${address} publishes ${keys.length === 1 ? '1 key' : `${keys.length} keys`}`;
    const usable = await supportedOf(accepted, keys);
    if (usable.length > 0) return ok(name, `${published}, usable for ${usable.join(', ')}`);
    return fail(name, {
      detail: `${published}, but none for ${accepted.join(', ')}`,
      fix: 'Publish the public key that verifies your sessions, or correct SESSION_JWT_ALGORITHMS.',
    });
  } catch (error) {
    return requestFailed(name, error, { address, setting: 'SESSION_JWT_JWKS_URL' }, 'a JWK Set, {"keys":[…]}');
  }
}

/** The algorithms that at least one of the keys supports. */
async function supportedOf(algorithms: readonly string[], keys: readonly JWK[]): Promise<string[]> {
  const supported = algorithms.map(async (algorithm) => {
    const results = await Promise.all(keys.map((key) => supports(key, algorithm)));
    return results.includes(true) ? [algorithm] : [];
  });
  return (await Promise.all(supported)).flat();
}

/** Verifies a token without a signature: a key that supports the algorithm gets as far as the wrong signature. */
async function supports(key: JWK, algorithm: string): Promise<boolean> {
  const header = Buffer.from(JSON.stringify({ alg: algorithm })).toString('base64url');
  const verify = async () => compactVerify(`${header}.e30.`, createLocalJWKSet({ keys: [key] }));
  const failure = await verify().catch((error: unknown) => error);
  return failure instanceof errors.JWSSignatureVerificationFailed;
}

async function checkIntrospection(session: Mode<'introspection'>, access: SessionServerAccess): Promise<CheckResult> {
  const name = 'introspection';
  const address = withoutQuery(session.url);
  try {
    const { active } = await new IntrospectionVerifier({ ...session, ...access }).introspect(`made-up-${randomUUID()}`);
    if (!active) return ok(name, `${address} says that an invented token is inactive`);
    return fail(name, {
      detail: `${address} says that an invented token is active: it would accept any token`,
      fix: 'Set SESSION_INTROSPECTION_URL to an endpoint that checks tokens (RFC 7662).',
    });
  } catch (thrown) {
    // The error for apps has the reason as its cause.
    const error = thrown instanceof BrokerError ? thrown.cause : thrown;
    if (error instanceof UnexpectedStatus && [400, 401, 403].includes(error.status)) {
      return fail(name, {
        detail: `${address} refuses the client id and secret of the broker (HTTP ${error.status})`,
        fix: 'Correct SESSION_INTROSPECTION_CLIENT_ID and SESSION_INTROSPECTION_CLIENT_SECRET. Allow this client to introspect tokens and to authenticate with HTTP Basic.',
      });
    }
    return requestFailed(name, error, { address, setting: 'SESSION_INTROSPECTION_URL' }, 'JSON as in RFC 7662');
  }
}

const FOR_ENVELOPES =
  ' If the server answers 200 with an envelope, such as {"code":401}, set SESSION_FORWARD_ACCEPTED and SESSION_FORWARD_REFUSED to what it says.';

async function checkForward(session: Mode<'forward'>, access: SessionServerAccess): Promise<CheckResult> {
  const name = 'session server';
  const address = withoutQuery(session.url);
  const setting = 'SESSION_FORWARD_URL';
  const { decision, claims } = await explainSession(session, '{}', access);
  const refuse = `Make the server answer 401 or 403 to such a request, without a redirect, or correct ${setting}.`;
  const hasAccount = claims.some((claim) => claim.name === session.claims.unionId && claim.problem === undefined);
  if (hasAccount || !(decision instanceof BrokerError)) {
    return fail(name, { detail: `${address} answers a request without a session: anyone could get in`, fix: refuse });
  }
  if (decision.code === 'session_invalid') return ok(name, `${address} refuses a request without a session`);
  const code = networkErrorCode(decision.cause);
  if (code) return fail(name, networkProblem(code, { address, setting }));
  return fail(name, {
    detail: `${address} does not refuse a request without a session: ${reasonOf(decision)}`,
    fix: claims.length > 0 ? refuse + FOR_ENVELOPES : refuse,
  });
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

const HEADER_LINE = /^([A-Za-z0-9-]+):[ \t]*(.*)$/;
const MAX_SHOWN = 120;

const PROMPT =
  'Paste the session: the token, or its headers, for example "Cookie: sid=…". Then press Enter and Ctrl-D.';

/**
 * Reads the session of `--session`.
 * @param file `-`: standard input
 * @param err gets a prompt if standard input is a terminal
 * @throws UsageError if the file cannot be read, or is empty
 */
export async function readSession(
  file: string,
  stdin: Readable & { readonly isTTY?: boolean | undefined },
  err: (line: string) => void,
): Promise<IncomingHttpHeaders> {
  if (file === '-' && stdin.isTTY) err(PROMPT);
  const content = await (file === '-' ? text(stdin) : readFile(file, 'utf8')).catch(() => {
    // The name may be a session that was given in place of a file.
    throw new UsageError('--session: the file cannot be read. It holds the session; without it, standard input does');
  });
  const session = content.trim();
  if (session === '') throw new UsageError('--session: there is no session in the input');
  return headersIn(session);
}

/** The headers of an app that sends this session: a bearer token, or lines `Name: value`. */
export function headersIn(session: string): IncomingHttpHeaders {
  const lines = session.split(/\r?\n/).filter((line) => line.trim() !== '');
  const headers = lines.map((line) => HEADER_LINE.exec(line));
  if (headers.every((match) => match !== null))
    return Object.fromEntries(headers.map(([, name = '', value = '']) => [name.toLowerCase(), value.trim()]));
  return { authorization: `Bearer ${session.replace(/^bearer +/i, '')}` };
}

/** The settings that decide about a session and its request. */
interface SessionSettings {
  readonly session: SessionOptions;
  readonly forwardedSession: ForwardedSession | undefined;
  readonly defaultRegion: string | undefined;
}

/** Whose session it is, or why the broker refuses it, claim by claim. The results do not show the session. */
export async function checkSession(
  { session: options, forwardedSession, defaultRegion }: SessionSettings,
  headers: IncomingHttpHeaders,
  access: SessionServerAccess,
): Promise<CheckResult[]> {
  try {
    const session = sessionSource(forwardedSession)(headers);
    const { decision, claims } = await explainSession(options, session, access);
    const results = claims.map((claim) => claimResult(claim, options, defaultRegion));
    const last =
      decision instanceof BrokerError ? refused(decision, claims, options) : accepted(decision, access.clock);
    return [...results, last];
  } catch (error) {
    if (error instanceof BrokerError) return [refused(error, [], options)];
    throw error;
  }
}

function claimResult(claim: CheckedClaim, options: SessionOptions, defaultRegion: string | undefined): CheckResult {
  const { name, value, problem } = claim;
  const label = `session ${visible(name)}`;
  const shown = value === undefined ? 'not there' : `${shortened(value)}${dateOf(claim, options.claims)}`;
  if (problem !== undefined) return fail(label, { detail: `${shown}: ${problem}`, fix: fixFor(name, value, options) });
  const consequence = isThere(value) ? undefined : consequenceWithout(name, options.claims, defaultRegion);
  return consequence === undefined
    ? ok(label, shown)
    : warn(label, { detail: `${shown}: ${consequence}`, fix: fixFor(name, value, options) });
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** What an app or an account meets later if its sessions lack this optional claim. */
function consequenceWithout(
  name: string,
  { region, issuedAt }: SessionOptions['claims'],
  defaultRegion: string | undefined,
): string | undefined {
  if (name === issuedAt)
    return 'after an erasure of its account, the broker refuses it and all later ones for 400 days';
  if (name === region && defaultRegion === undefined) {
    return 'the first request of its account gets 400 request_invalid, unless the app sends regRegion';
  }
  return undefined;
}

/** The last millisecond of the year 9999. */
const MAX_SHOWN_MS = 253_402_300_799_999;

/** A time as a date, because nobody reads numbers since 1970. */
function dateOf({ name, value }: CheckedClaim, { issuedAt, expiresAt, timeUnit }: SessionOptions['claims']): string {
  const unit = name === 'nbf' ? 's' : timeUnit;
  if (!['nbf', issuedAt, expiresAt].includes(name) || !/^-?[\d.]+$/.test(String(value))) return '';
  const at = Number(value) * (unit === 's' ? 1_000 : 1);
  return Math.abs(at) <= MAX_SHOWN_MS ? ` (${new Date(at).toISOString()})` : '';
}

/** By the name of a claim. `fixFor` has the others. */
const FIXES: Readonly<Record<string, string>> = {
  signature:
    'Publish the key that signs your sessions at SESSION_JWT_JWKS_URL, or correct SESSION_JWT_PUBLIC_KEY, SESSION_JWT_SECRET or SESSION_JWT_ALGORITHMS.',
  typ: 'Issue sessions with the header parameter typ JWT or at+jwt, or without it.',
  iss: 'Issue sessions with this issuer, or correct SESSION_JWT_ISSUER.',
  scope: 'Grant the scope to the app, or correct SESSION_INTROSPECTION_SCOPE.',
  active: 'Let the app get a new session. Check that the OAuth server has issued it.',
  'kind of token': 'Let the app send an access token.',
};

function fixFor(name: string, value: unknown, options: SessionOptions): string {
  const { mode, claims } = options;
  if (name === 'aud') {
    const setting = mode === 'introspection' ? 'SESSION_INTROSPECTION_AUDIENCE' : 'SESSION_JWT_AUDIENCE';
    return `Issue sessions for this audience, or correct ${setting}.`;
  }
  if (mode === 'forward' && [options.accepted?.path, options.refused?.path].includes(name)) {
    return 'If your cloud refuses this session, let the app log in again. Otherwise look in the log of your cloud, or correct SESSION_FORWARD_ACCEPTED and SESSION_FORWARD_REFUSED.';
  }
  return (
    FIXES[name] ?? (isThere(value) ? fixForTime(name, claims) : undefined) ?? fixForPrincipal(name, value, options)
  );
}

/** @returns `undefined` if the claim is not a time */
function fixForTime(name: string, { issuedAt, expiresAt, timeUnit }: SessionOptions['claims']): string | undefined {
  const clocks = 'and correct the clock of this host or of the issuer.';
  if (name === 'nbf') return `Issue sessions with nbf in seconds since 1970, ${clocks}`;
  const unit = timeUnit === 's' ? 'seconds' : 'milliseconds';
  const other = timeUnit === 's' ? 'ms' : 's';
  const rule = `with ${visible(name)} in ${unit} since 1970 or set SESSION_CLAIM_TIME_UNIT=${other}, ${clocks}`;
  if (name === expiresAt) return `Let the app get a new session. If it is new, issue it ${rule}`;
  return name === issuedAt ? `Issue sessions ${rule}` : undefined;
}

function fixForPrincipal(name: string, value: unknown, options: SessionOptions): string {
  const { region, app, issuedAt, expiresAt } = options.claims;
  const settings: Readonly<Record<string, string>> = {
    [expiresAt]: 'SESSION_CLAIM_EXPIRES_AT',
    [issuedAt]: 'SESSION_CLAIM_ISSUED_AT',
    [region]: 'SESSION_CLAIM_REGION',
    ...(app && { [app]: 'SESSION_CLAIM_APP' }),
  };
  const setting = settings[name] ?? 'SESSION_CLAIM_UNION_ID';
  const correct = isThere(value) ? `Correct the value of the claim ${visible(name)}` : `Add the claim ${visible(name)}`;
  const fix = `${correct} in the sessions that your cloud issues, or name another claim in ${setting}.`;
  if (isThere(value)) return fix;
  if (name === region) return `${fix} Or set DEFAULT_REGION.`;
  return options.mode === 'forward' && !options.accepted && !(name in settings) ? fix + FOR_ENVELOPES : fix;
}

function accepted({ unionId, region, app, expiresAt }: Principal, clock: Clock): CheckResult {
  const parts = [
    `accepted: account ${shortened(unionId)} (digest ${accountId(unionId)})`,
    region === undefined ? 'no country' : `country ${region}`,
    ...(app === undefined ? [] : [`app ${app}`]),
    expiresAt >= Number.MAX_SAFE_INTEGER ? 'no end' : `ends in ${Math.round((expiresAt - clock.now()) / 1_000)} s`,
  ];
  return ok('session', parts.join(', '));
}

function refused(error: BrokerError, claims: readonly CheckedClaim[], options: SessionOptions): CheckResult {
  const detail = `refused with ${error.code}: ${error.message}`;
  return fail('session', { detail, fix: fixForRefusal(error, claims, options) });
}

function fixForRefusal({ code }: BrokerError, claims: readonly CheckedClaim[], { mode }: SessionOptions): string {
  const isExplained = claims.some(({ problem }) => problem !== undefined);
  // A JWT cannot cause it, but a claim in the answer of a session server can.
  if (code === 'session_check_unavailable' && (mode === 'jwt' || !isExplained)) {
    return 'See the check of the session keys or the session server.';
  }
  if (isExplained) return 'See the lines above.';
  if (mode !== 'forward') return `Send the session in the form that SESSION_MODE=${mode} expects: only the token.`;
  if (code !== 'session_invalid') {
    return "Send the headers of SESSION_FORWARD_HEADERS, one per line, for example: echo 'Cookie: sid=…' | … check --session";
  }
  return 'Only your cloud knows the reason: look in its log. If the session has expired, let the app log in again.';
}

/** A value as JSON, unless it is a plain word. */
function shortened(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@+-]+$/.test(value)) return visible(value);
  return visible(typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? ''));
}

/** In visible ASCII, so that it cannot control the terminal, and not too long. */
function visible(text: string): string {
  const escaped = text.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return escaped.length > MAX_SHOWN ? `${escaped.slice(0, MAX_SHOWN)}…` : escaped;
}
