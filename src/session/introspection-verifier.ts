import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import { ExplainedError } from '../token/text.ts';
import { type ClaimNames, parseClaims, principalFrom, requireAccessToken } from './claims.ts';
import {
  boundedFetch,
  noteContact,
  type SessionServerAccess,
  sessionCheckUnavailable,
  UnexpectedStatus,
} from './session-server.ts';

export interface IntrospectionVerifierOptions extends SessionServerAccess {
  /** The introspection endpoint. Use plain `http:` on trusted networks only. */
  readonly url: URL;
  readonly clientId: string;
  readonly clientSecret: string;
  /** The `aud` of the answer must be or contain it. Without it, tokens for other services are accepted. */
  readonly audience?: string | undefined;
  /** The `scope` of the answer must contain each of these. */
  readonly scopes?: readonly string[] | undefined;
  readonly claims: ClaimNames;
}

/** RFC 7662 §2.2. */
export interface IntrospectionAnswer {
  readonly active: boolean;
  readonly aud?: unknown;
  readonly scope?: unknown;
}

/**
 * Asks an OAuth server about an opaque token (RFC 7662), as a client with a secret (HTTP Basic, RFC 6749 §2.3.1).
 * Refuses a session by `active: false`, and by claims which show that the token is not meant for the broker.
 */
export function createIntrospectionVerifier(options: IntrospectionVerifierOptions) {
  const { url, clientId, clientSecret, claims, clock } = options;
  return { verify, judge, ask };

  async function verify(session: string): Promise<Principal> {
    return judge(await ask(session));
  }

  /** @throws BrokerError `session_invalid`, and as {@link principalFrom} does */
  function judge(answer: IntrospectionAnswer): Principal {
    if (!answer.active) throw new BrokerError('session_invalid', { detail: SESSION_REASONS.inactive });
    requireAccessToken(answer);
    requirePurpose(answer, options);
    return principalFrom(answer, claims, 'introspection', clock);
  }

  /** Asks the OAuth server about a token. @throws BrokerError `session_check_unavailable` */
  async function ask(session: string): Promise<IntrospectionAnswer> {
    try {
      return await noteContact(options, () => introspect(session), judge);
    } catch (error) {
      throw sessionCheckUnavailable(error);
    }
  }

  async function introspect(session: string): Promise<IntrospectionAnswer> {
    const headers = {
      accept: 'application/json',
      authorization: `Basic ${btoa(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`)}`,
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
    };
    const body = String(new URLSearchParams({ token: session }));
    const response = await boundedFetch(url, { method: 'POST', headers, body }, options);
    if (response.status !== 200) throw new UnexpectedStatus(response.status, SESSION_REASONS.introspectionStatus);
    const answer = parseClaims(await response.text(), claims);
    if (answer && 'active' in answer && typeof answer.active === 'boolean') return answer as IntrospectionAnswer;
    throw new ExplainedError(SESSION_REASONS.noIntrospection);
  }
}

/** RFC 6749 §2.3.1 and appendix B. */
function formEncoded(text: string): string {
  return new URLSearchParams({ text }).toString().slice('text='.length);
}

/** @throws BrokerError `session_invalid`, if the answer lacks the audience or a scope */
export function requirePurpose(
  { aud, scope }: Omit<IntrospectionAnswer, 'active'>,
  { audience, scopes = [] }: Pick<IntrospectionVerifierOptions, 'audience' | 'scopes'>,
): void {
  if (audience !== undefined && ![aud].flat().includes(audience)) {
    throw new BrokerError('session_invalid', { detail: SESSION_REASONS.wrongAudience });
  }
  const granted = typeof scope === 'string' ? scope.split(' ') : [];
  if (!scopes.every((one) => granted.includes(one))) {
    throw new BrokerError('session_invalid', { detail: SESSION_REASONS.lacksScope });
  }
}
