import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import { type ClaimNames, principalFromServer } from './claims.ts';
import { boundedFetch, sessionCheckUnavailable } from './session-server.ts';

export interface ForwardVerifierOptions {
  /** Answers a GET with 2xx and the claims of the session as a JSON object, or with 401 or 403. */
  readonly url: URL;
  readonly claims: ClaimNames;
  readonly clock: Clock;
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
    const { claims, clock } = this.#options;
    const answer = await this.#fetch(headersFrom(session));
    if (answer.status === 401 || answer.status === 403) {
      throw new BrokerError('session_invalid', { detail: 'The session server refused the session' });
    }
    if (!answer.ok) throw sessionCheckUnavailable(new Error(`The session server answered ${answer.status}`));
    return principalFromServer(await claimsFrom(answer), claims, clock);
  }

  async #fetch(headers: Headers): Promise<Response> {
    try {
      return await boundedFetch(this.#options.url, { headers }, this.#options.clock);
    } catch (error) {
      throw sessionCheckUnavailable(error);
    }
  }
}

function headersFrom(session: string): Headers {
  try {
    const headers = new Headers(JSON.parse(session) as Record<string, string>);
    headers.set('accept', 'application/json');
    return headers;
  } catch {
    throw new BrokerError('session_invalid', { detail: 'The session cannot be sent in HTTP headers' });
  }
}

async function claimsFrom(answer: Response): Promise<object> {
  const claims: unknown = await answer.json().catch(() => undefined);
  if (typeof claims === 'object' && claims !== null && !Array.isArray(claims)) return claims;
  throw sessionCheckUnavailable(new Error('The session server did not answer with a JSON object'));
}
