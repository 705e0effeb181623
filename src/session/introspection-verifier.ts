import {
  allowInsecureRequests,
  ClientSecretBasic,
  customFetch,
  type IntrospectionResponse,
  introspectionRequest,
  OperationProcessingError,
  processIntrospectionResponse,
} from 'oauth4webapi';
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

/**
 * Checks a session that is an opaque token by asking an OAuth server about it (RFC 7662). The broker authenticates as a
 * client with a secret (HTTP Basic, RFC 6749 §2.3.1). `active: false` refuses a session, and so do claims that show
 * that the token is not meant for the broker.
 */
export function createIntrospectionVerifier(options: IntrospectionVerifierOptions) {
  const { url, clientId, clientSecret, claims, clock } = options;
  return { verify, judge, ask };

  async function verify(session: string): Promise<Principal> {
    return judge(await ask(session));
  }

  /**
   * Reads the principal from an answer of {@link ask}.
   * @throws BrokerError `session_invalid`, and as {@link principalFrom} does
   */
  function judge(answer: IntrospectionResponse): Principal {
    if (!answer.active) throw new BrokerError('session_invalid', { detail: SESSION_REASONS.inactive });
    requireAccessToken(answer);
    requirePurpose(answer, options);
    return principalFrom(answer, claims, 'introspection', clock);
  }

  /** Asks the OAuth server about a token. @throws BrokerError `session_check_unavailable` */
  async function ask(session: string): Promise<IntrospectionResponse> {
    try {
      return await noteContact(options, () => introspect(session), judge);
    } catch (error) {
      // The cause of an OperationProcessingError holds the answer, which may contain secrets.
      const holdsAnswer = error instanceof OperationProcessingError;
      throw sessionCheckUnavailable(
        holdsAnswer ? new ExplainedError(SESSION_REASONS.noIntrospection(error.message)) : error,
      );
    }
  }

  async function introspect(session: string): Promise<IntrospectionResponse> {
    const server = { issuer: url.href, introspection_endpoint: url.href };
    const client = { client_id: clientId };
    const response = await introspectionRequest(server, client, ClientSecretBasic(clientSecret), session, {
      // The library names itself as the user agent. `boundedFetch` names the broker.
      [customFetch]: (url, { method, headers: { 'user-agent': _library, ...headers }, body }) =>
        boundedFetch(url, { method, headers, body: String(body) }, options),
      [allowInsecureRequests]: true,
    });
    if (response.status !== 200) throw new UnexpectedStatus(response.status, SESSION_REASONS.introspectionStatus);
    const text = await response.clone().text();
    const answer = await processIntrospectionResponse(server, client, response);
    // The library has judged the answer, but it has rounded large numbers.
    const exact = parseClaims(text, claims);
    if (!exact) throw new ExplainedError(SESSION_REASONS.noDigits);
    return { ...answer, ...exact };
  }
}

/** @throws BrokerError `session_invalid`, if the answer lacks the audience or a scope */
export function requirePurpose(
  { aud, scope }: { readonly aud?: unknown; readonly scope?: unknown },
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
