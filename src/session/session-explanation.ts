import { compactVerify, decodeProtectedHeader } from 'jose';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import type { Text } from '../token/text.ts';
import { type CheckedClaim, checkClaims, claimAt, problemOf, requireAccessToken } from './claims.ts';
import { createForwardVerifier, requireAcceptance } from './forward-verifier.ts';
import { createIntrospectionVerifier, type IntrospectionAnswer, requirePurpose } from './introspection-verifier.ts';
import {
  brokerErrorFrom,
  type Claims,
  claimsIn,
  createJwtVerifier,
  isSessionType,
  validClaims,
} from './jwt-verifier.ts';
import type { SessionServerAccess } from './session-server.ts';
import type { SessionOptions } from './session-verifier.ts';
import { verificationKey } from './verification-key.ts';

/** The broker's decision about one session, and the reasons. */
export interface SessionExplanation {
  /** The decision of the verifier that apps meet. */
  readonly decision: Principal | BrokerError;
  /** The claims of the session, each with its problem if it has one. Empty if the session cannot be read. */
  readonly claims: readonly CheckedClaim[];
}

/** Explains the decision about a session, in a verifier's form, with all problems: a verifier stops at the first. */
export async function explainSession(
  options: SessionOptions,
  session: string,
  access: SessionServerAccess,
): Promise<SessionExplanation> {
  const { clock } = access;
  switch (options.mode) {
    case 'jwt': {
      const decision = await decisionOf(async () => createJwtVerifier({ ...options, ...access }).verify(session));
      return { decision, claims: await jwtClaims(options, session, access) };
    }
    case 'introspection': {
      const verifier = createIntrospectionVerifier({ ...options, ...access });
      return explainAnswer(verifier, session, (answer) => introspectionClaims(answer, options, clock));
    }
    case 'forward': {
      const verifier = createForwardVerifier({ ...options, ...access });
      return explainAnswer(verifier, session, (answer) => forwardClaims(answer, options, clock));
    }
  }
}

/** Explains the decision about one answer of a server: a second one might differ. */
async function explainAnswer<Answer extends object>(
  verifier: { ask(session: string): Promise<Answer>; judge(answer: Answer): Principal },
  session: string,
  claimsIn: (answer: Answer) => CheckedClaim[],
): Promise<SessionExplanation> {
  const answer = await decisionOf(() => verifier.ask(session));
  if (answer instanceof BrokerError) return { decision: answer, claims: [] };
  return { decision: await decisionOf(async () => verifier.judge(answer)), claims: claimsIn(answer) };
}

/** The result, or the error that refuses the session. */
export async function decisionOf<Result>(decide: () => Promise<Result>): Promise<Result | BrokerError> {
  try {
    return await decide();
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
}

function introspectionClaims(
  answer: IntrospectionAnswer,
  { audience, scopes, claims }: Extract<SessionOptions, { mode: 'introspection' }>,
  clock: Clock,
): CheckedClaim[] {
  const active = claim(answer, 'active', answer.active ? undefined : SESSION_REASONS.inactive);
  // An answer about an inactive session holds nothing else.
  if (!answer.active) return [active];
  const problemOfPurpose = (purpose: Parameters<typeof requirePurpose>[1]) =>
    problemOf(() => requirePurpose(answer, purpose));
  return [
    active,
    claim(answer, 'aud', problemOfPurpose({ audience })),
    claim(answer, 'scope', problemOfPurpose({ scopes })),
    ...kindOfToken(answer),
    ...checkClaims(answer, claims, 'introspection', clock),
  ];
}

function forwardClaims(
  answer: object,
  options: Extract<SessionOptions, { mode: 'forward' }>,
  clock: Clock,
): CheckedClaim[] {
  const paths = [options.accepted, options.refused].flatMap((condition) => condition?.path ?? []);
  const problem = problemOf(() => requireAcceptance(answer, options));
  const envelope = [...new Set(paths)].map((name) => ({ name, value: claimAt(answer, name), problem }));
  // An answer about a session that is not accepted holds nothing else.
  return problem === undefined ? [...envelope, ...checkClaims(answer, options.claims, 'forward', clock)] : envelope;
}

async function jwtClaims(
  { key, algorithms, issuer, audience, claims: names }: Extract<SessionOptions, { mode: 'jwt' }>,
  session: string,
  access: SessionServerAccess,
): Promise<readonly CheckedClaim[]> {
  const [, payload = ''] = session.split('.');
  const header = readPart(() => decodeProtectedHeader(session));
  const claims = readPart(() => claimsIn(Buffer.from(payload, 'base64url'), names));
  if (!header || !claims) return [];
  const { find, algorithms: usable } = verificationKey(key, access);
  const signature = await compactVerify(session, find, { algorithms: [...(algorithms ?? usable)] }).then(
    () => undefined,
    (error: unknown) => signatureProblem(brokerErrorFrom(error)),
  );
  const valid = validClaims(claims, { issuer, audience });
  const unless = (isValid: boolean, problem: Text) => (isValid ? undefined : problem);
  return [
    { name: 'signature', value: header['alg'], problem: signature },
    claim(header, 'kid', undefined),
    claim(header, 'typ', unless(isSessionType(header['typ']), SESSION_REASONS.noSessionType)),
    claim(claims, 'iss', unless(valid.iss, SESSION_REASONS.mustBe(JSON.stringify(issuer)))),
    claim(claims, 'aud', unless(valid.aud, SESSION_REASONS.mustHold(audience ?? ''))),
    ...kindOfToken(claims),
    ...checkClaims(claims, names, 'jwt', access.clock),
  ];
}

function signatureProblem({ code, reason }: BrokerError): Text {
  return code === 'session_check_unavailable' ? SESSION_REASONS.unavailable : reason;
}

/** This rule concerns several claims. It appears only if it refuses the session. */
function kindOfToken(claims: object): CheckedClaim[] {
  const problem = problemOf(() => requireAccessToken(claims));
  return problem === undefined ? [] : [{ name: 'kind of token', value: undefined, problem }];
}

function claim(claims: object, name: string, problem: Text | undefined): CheckedClaim {
  return { name, value: (claims as Claims)[name], problem };
}

function readPart(read: () => object): Claims | undefined {
  try {
    return read() as Claims;
  } catch {
    return undefined;
  }
}
