import {
  allowInsecureRequests,
  type Client,
  type ClientAuth,
  ClientSecretBasic,
  customFetch,
  type IntrospectionResponse,
  introspectionRequest,
  OperationProcessingError,
  processIntrospectionResponse,
} from 'oauth4webapi';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import { answeredPrincipal, type ClaimNames } from './claims.ts';
import { boundedFetch, checkUnavailable, UnexpectedStatus } from './session-server.ts';

export interface IntrospectionVerifierOptions {
  /** The introspection endpoint. Plain `http:` is for networks that are trusted. */
  readonly url: URL;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly claims: ClaimNames;
  readonly clock: Clock;
}

const MAX_BYTES = 65_536;

/**
 * Sessions that are opaque tokens of an OAuth server, which is asked about them (RFC 7662) as a client with a secret
 * (HTTP Basic, RFC 6749 §2.3.1). Only its `active: false` refuses a session.
 */
export class IntrospectionVerifier implements SessionVerifier {
  readonly #server: { readonly issuer: string; readonly introspection_endpoint: string };
  readonly #client: Client;
  readonly #authentication: ClientAuth;
  readonly #claims: ClaimNames;
  readonly #clock: Clock;

  constructor(options: IntrospectionVerifierOptions) {
    this.#server = { issuer: options.url.href, introspection_endpoint: options.url.href };
    this.#client = { client_id: options.clientId };
    this.#authentication = ClientSecretBasic(options.clientSecret);
    this.#claims = options.claims;
    this.#clock = options.clock;
  }

  async verify(session: string): Promise<Principal> {
    const answer = await this.introspect(session);
    if (!answer.active) throw new BrokerError('session_invalid', { detail: 'The session is not active' });
    return answeredPrincipal(answer, this.#claims, this.#clock);
  }

  /** What the server says of a token. @throws BrokerError `session_check_unavailable` */
  async introspect(session: string): Promise<IntrospectionResponse> {
    try {
      const response = await introspectionRequest(this.#server, this.#client, this.#authentication, session, {
        [customFetch]: (url, request) => boundedFetch(url, request, MAX_BYTES),
        [allowInsecureRequests]: true,
      });
      if (response.status !== 200) throw new UnexpectedStatus('The introspection URL', response.status);
      return await processIntrospectionResponse(this.#server, this.#client, response);
    } catch (error) {
      // The causes of these hold what was answered.
      const isAboutAnswer = error instanceof OperationProcessingError;
      throw checkUnavailable(isAboutAnswer ? new Error(`The introspection URL: ${error.message}`) : error);
    }
  }
}
