import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import { answeredPrincipal, type ClaimNames } from './claims.ts';
import { boundedFetch, checkUnavailable } from './session-server.ts';

export interface ForwardVerifierOptions {
  /** Answers a GET with 2xx and the claims of the session as a JSON object, or with 401 or 403. */
  readonly url: URL;
  readonly claims: ClaimNames;
  readonly clock: Clock;
}

const MAX_BYTES = 65_536;

/**
 * Sessions that a session server knows by the headers the app sent, such as its cookies: it is sent these, and nothing
 * else of the app's request. Only its 401 or 403 refuses a session.
 */
export class ForwardVerifier implements SessionVerifier {
  readonly #url: URL;
  readonly #claims: ClaimNames;
  readonly #clock: Clock;

  constructor(options: ForwardVerifierOptions) {
    this.#url = options.url;
    this.#claims = options.claims;
    this.#clock = options.clock;
  }

  async verify(session: string): Promise<Principal> {
    const answer = await this.#ask(headersIn(session));
    if (answer.status === 401 || answer.status === 403) {
      throw new BrokerError('session_invalid', { detail: 'The session server refuses the session' });
    }
    if (!answer.ok) throw checkUnavailable(new Error(`The session server answered ${answer.status}`));
    return answeredPrincipal(await claimsIn(answer), this.#claims, this.#clock);
  }

  async #ask(headers: Headers): Promise<Response> {
    try {
      return await boundedFetch(this.#url, { headers }, MAX_BYTES);
    } catch (error) {
      throw checkUnavailable(error);
    }
  }
}

function headersIn(session: string): Headers {
  try {
    const headers = new Headers(JSON.parse(session) as Record<string, string>);
    headers.set('accept', 'application/json');
    return headers;
  } catch {
    throw new BrokerError('session_invalid', { detail: 'The session does not fit into HTTP headers' });
  }
}

async function claimsIn(answer: Response): Promise<object> {
  const claims: unknown = await answer.json().catch(() => undefined);
  if (typeof claims === 'object' && claims !== null && !Array.isArray(claims)) return claims;
  throw checkUnavailable(new Error('The session server answered with something other than a JSON object'));
}
