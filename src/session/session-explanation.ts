import { compactVerify, decodeJwt, decodeProtectedHeader, type JWTHeaderParameters } from 'jose';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { type CheckedClaim, checkClaims, problemOf, requireAccessToken, requireSeconds } from './claims.ts';
import { ForwardVerifier } from './forward-verifier.ts';
import { IntrospectionVerifier, requirePurpose } from './introspection-verifier.ts';
import { brokerErrorFrom, IS_VALID, isSessionType, verificationKey } from './jwt-verifier.ts';
import { type SessionOptions, verifierFor } from './session-verifier.ts';

/** The broker's decision about one session, and the reasons. */
export interface SessionExplanation {
  /** The decision of the verifier that apps meet. */
  readonly decision: Principal | BrokerError;
  /** The claims of the session, each with its problem if it has one. Empty if the session cannot be read. */
  readonly claims: readonly CheckedClaim[];
}

type Claims = Readonly<Record<string, unknown>>;

/**
 * Explains why a session is accepted or refused, claim by claim. Where the verifier stops at the first problem, this
 * reports all of them.
 * @param session in the form that a verifier takes
 */
export async function explainSession(
  options: SessionOptions,
  session: string,
  clock: Clock,
): Promise<SessionExplanation> {
  const decision = await decide(options, session, clock);
  return { decision, claims: await claimsOf(options, session, clock) };
}

async function decide(options: SessionOptions, session: string, clock: Clock): Promise<Principal | BrokerError> {
  try {
    return await verifierFor(options, clock).verify(session);
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
}

async function claimsOf(options: SessionOptions, session: string, clock: Clock): Promise<readonly CheckedClaim[]> {
  switch (options.mode) {
    case 'jwt':
      return jwtClaims(options, session, clock);
    case 'introspection': {
      const answer = await orNothing(new IntrospectionVerifier({ ...options, clock }).introspect(session));
      if (!answer) return [];
      const { audience, scopes } = options;
      const active = claim(answer, 'active', answer.active ? undefined : 'The session is not active');
      // An answer about an inactive session holds nothing else.
      if (!answer.active) return [active];
      return [
        active,
        claim(
          answer,
          'aud',
          problemOf(() => requirePurpose(answer, { audience })),
        ),
        claim(
          answer,
          'scope',
          problemOf(() => requirePurpose(answer, { scopes })),
        ),
        ...serverClaims(answer, options, clock),
      ];
    }
    case 'forward': {
      const answer = await orNothing(new ForwardVerifier({ ...options, clock }).ask(session));
      return answer ? serverClaims(answer as Claims, options, clock) : [];
    }
  }
}

async function jwtClaims(
  { key, algorithms, issuer, audience, claims: names }: Extract<SessionOptions, { mode: 'jwt' }>,
  session: string,
  clock: Clock,
): Promise<readonly CheckedClaim[]> {
  const [header, claims] = [readPart(() => decodeProtectedHeader(session)), readPart(() => decodeJwt(session))];
  if (!header || !claims) return [];
  const { find, algorithms: usable } = verificationKey(key, clock);
  const signature = await compactVerify(session, (header, token) => find(header as JWTHeaderParameters, token), {
    algorithms: [...(algorithms ?? usable)],
  }).then(
    () => undefined,
    (error: unknown) => brokerErrorFrom(error).message,
  );
  const required = { issuer, audience: [audience].flat() };
  const now = clock.now();
  const unless = (isValid: boolean, problem: string) => (isValid ? undefined : problem);
  return [
    { name: 'signature', value: header['alg'], problem: signature },
    claim(header, 'kid', undefined),
    claim(header, 'typ', unless(isSessionType(header['typ']), 'is no type of a session')),
    claim(claims, 'iss', unless(IS_VALID.iss(claims['iss'], required), `must be ${JSON.stringify(issuer)}`)),
    claim(claims, 'aud', unless(IS_VALID.aud(claims['aud'], required), `must hold ${required.audience.join(' or ')}`)),
    claim(claims, 'exp', unless(IS_VALID.exp(claims['exp'], now), 'must be a time in the future')),
    claim(claims, 'nbf', unless(IS_VALID.nbf(claims['nbf'], now), 'must be a time in the past')),
    claim(claims, 'iat', unless(IS_VALID.iat(claims['iat']), 'must be a number')),
    ...commonClaims(claims),
    ...checkClaims(claims, names),
  ];
}

function serverClaims(claims: Claims, { claims: names }: SessionOptions, clock: Clock): CheckedClaim[] {
  const { exp } = claims;
  const isOver = exp !== undefined && exp !== null && !IS_VALID.exp(exp, clock.now());
  return [
    claim(claims, 'exp', isOver ? 'must be a time in the future' : undefined),
    claim(claims, 'iat', undefined),
    ...commonClaims(claims),
    ...checkClaims(claims, names),
  ];
}

/** The rules that concern several claims appear only if they refuse the session. */
function commonClaims(claims: Claims): CheckedClaim[] {
  return [
    { name: 'iat, nbf, exp', value: undefined, problem: problemOf(() => requireSeconds(claims)) },
    { name: 'kind of token', value: undefined, problem: problemOf(() => requireAccessToken(claims)) },
  ].filter(({ problem }) => problem !== undefined);
}

function claim(claims: object, name: string, problem: string | undefined): CheckedClaim {
  return { name, value: (claims as Claims)[name], problem };
}

function readPart(read: () => object): Claims | undefined {
  try {
    return read() as Claims;
  } catch {
    return undefined;
  }
}

/** The decision reports why there is no answer. */
function orNothing<Answer>(asked: Promise<Answer>): Promise<Answer | undefined> {
  return asked.catch(() => undefined);
}
