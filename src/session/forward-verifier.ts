import { BrokerError } from '../token/errors.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import { type ClaimNames, parseClaims, principalFrom } from './claims.ts';
import {
  boundedFetch,
  noteContact,
  type SessionServerAccess,
  sessionCheckUnavailable,
  UnexpectedStatus,
} from './session-server.ts';

export interface ForwardVerifierOptions extends SessionServerAccess {
  /** Answers a GET with 2xx and the claims of the session as a JSON object, or with 401 or 403. */
  readonly url: URL;
  readonly claims: ClaimNames;
}

/**
 * Checks a session by sending the configured headers of the app's request, for example its cookies, to the customer's
 * session server. Nothing else of the request is sent. Only 401 and 403 refuse a session.
 */
export class ForwardVerifier implements SessionVerifier {
  readonly #options: ForwardVerifierOptions;

  constructor(options: ForwardVerifierOptions) {
    this.#options = options;
  }

  async verify(session: string): Promise<Principal> {
    return this.judge(await this.ask(session));
  }

  /** Reads the principal from the claims that {@link ask} returned. @throws BrokerError as {@link principalFrom} does */
  judge(answer: object): Principal {
    const { claims, clock } = this.#options;
    return principalFrom(answer, claims, 'forward', clock);
  }

  /**
   * Returns the claims.
   * @throws BrokerError `session_check_unavailable`; `session_invalid` if the server refuses the session, or if HTTP
   *   headers cannot hold it
   */
  async ask(session: string): Promise<object> {
    const { clock, contact } = this.#options;
    const headers = headersFrom(session);
    const answer = await noteContact(contact, clock, () => this.#claimsOrRefusal(headers)).catch((error: unknown) => {
      throw sessionCheckUnavailable(error);
    });
    if (typeof answer === 'object') return answer;
    throw new BrokerError('session_invalid', {
      detail: `The session server refused the session with status ${answer}`,
    });
  }

  /** The claims, or the status of the refusal. */
  async #claimsOrRefusal(headers: Record<string, string>): Promise<object | 401 | 403> {
    const answer = await boundedFetch(this.#options.url, { headers }, this.#options);
    if (answer.status === 401 || answer.status === 403) return answer.status;
    if (!answer.ok) throw new UnexpectedStatus('The session server', answer.status, '');
    const claims = parseClaims(await answer.text(), this.#options.claims);
    if (claims) return claims;
    throw new Error('The session server did not answer with a JSON object');
  }
}

function headersFrom(session: string): Record<string, string> {
  try {
    const headers = new Headers(JSON.parse(session) as Record<string, string>);
    headers.set('accept', 'application/json');
    return Object.fromEntries(headers);
  } catch {
    throw new BrokerError('session_invalid', { detail: 'The session cannot be sent in HTTP headers' });
  }
}
