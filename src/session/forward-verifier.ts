import { BrokerError } from '../token/errors.ts';
import type { Principal } from '../token/principal.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import { ExplainedError, type Text, untranslated } from '../token/text.ts';
import { type ClaimNames, claimAt, isPresent, parseClaims, principalFrom } from './claims.ts';
import {
  boundedFetch,
  noteContact,
  type SessionServerAccess,
  sessionCheckUnavailable,
  UnexpectedStatus,
} from './session-server.ts';

/** A condition on the JSON answer of the session server. */
export interface AnswerCondition {
  /** A name or a dotted path, as for claims. */
  readonly path: string;
  /** The value there must be one of these: a string, or the text of a number, `true`, `false` or `null`. */
  readonly values: readonly string[];
}

/** For a cloud with answers in envelopes, such as `{"code":200,"data":{…}}`, and the HTTP status 200 for refusals. */
export interface EnvelopeConditions {
  /** The condition for an answer about a valid session. Without it, the HTTP status decides. */
  readonly accepted?: AnswerCondition | undefined;
  /** The condition for an answer that refuses the session, with any HTTP status. */
  readonly refused?: AnswerCondition | undefined;
}

export interface ForwardVerifierOptions extends SessionServerAccess, EnvelopeConditions {
  /** Answers a GET with 2xx and the claims of the session as a JSON object, or with 401 or 403. */
  readonly url: URL;
  readonly claims: ClaimNames;
}

/**
 * Checks a session by sending the configured headers of the app's request, for example its cookies, to the customer's
 * session server. Nothing else of the request is sent. Only 401, 403 and the configured condition refuse a session.
 */
export function createForwardVerifier(options: ForwardVerifierOptions) {
  const { claims, clock, url, refused } = options;
  return { verify, judge, ask };

  async function verify(session: string): Promise<Principal> {
    return judge(await ask(session));
  }

  /** @throws BrokerError as {@link requireAcceptance} and {@link principalFrom} do */
  function judge(answer: object): Principal {
    requireAcceptance(answer, options);
    return principalFrom(answer, claims, 'forward', clock);
  }

  /** @throws BrokerError `session_check_unavailable`; `session_invalid` by 401 or 403, or if no header can hold it */
  async function ask(session: string): Promise<object> {
    const headers = headersFrom(session);
    const judgeAnswer = (answer: object | 401 | 403) => typeof answer === 'object' && judge(answer);
    const asked = noteContact(options, () => answerOrRefusal(headers), judgeAnswer);
    const answer = await asked.catch((error: unknown) => {
      throw sessionCheckUnavailable(error);
    });
    if (typeof answer === 'object') return answer;
    throw refusal(SESSION_REASONS.refusedByStatus(answer));
  }

  /** The answer, or the status of the refusal. */
  async function answerOrRefusal(headers: Record<string, string>): Promise<object | 401 | 403> {
    const response = await boundedFetch(url, { headers }, options);
    if (response.status === 401 || response.status === 403) return response.status;
    const answer = parseClaims(await response.text(), claims);
    const isRefusal = answer && refused && meets(answer, refused);
    if (!response.ok && !isRefusal) throw new UnexpectedStatus(response.status, SESSION_REASONS.sessionServerStatus);
    if (answer) return answer;
    throw new ExplainedError(SESSION_REASONS.noJsonObject);
  }
}

/** @throws BrokerError `session_invalid` if it refuses the session; `session_check_unavailable` if it says neither */
export function requireAcceptance(
  answer: object,
  options: EnvelopeConditions & Pick<ForwardVerifierOptions, 'claims'>,
) {
  const { accepted, refused, claims } = options;
  if (refused && meets(answer, refused)) {
    throw refusal(SESSION_REASONS.refusedByAnswer(`${refused.path}=${claimAt(answer, refused.path)}`));
  }
  const hasAccount = isPresent(claimAt(answer, claims.unionId));
  if (accepted ? meets(answer, accepted) : hasAccount || !refused) return;
  const paths = [accepted?.path ?? claims.unionId, refused?.path].filter((path) => path !== undefined);
  const values = [...new Set(paths)].map((path) => shownAt(answer, path));
  const reason = { en: values.map(({ en }) => en).join(', '), zh: values.map(({ zh }) => zh).join('，') };
  throw sessionCheckUnavailable(new ExplainedError(SESSION_REASONS.undecided(reason)));
}

/** A longer value is no code. */
const MAX_SHOWN = 32;

/** The value that decides about the session, so that the log shows a code which no condition names. */
function shownAt(answer: object, path: string): Text {
  const value = claimAt(answer, path);
  if (value === undefined) return { en: `no ${path}`, zh: `没有 ${path}` };
  const text = typeof value === 'object' && value !== null ? '{…}' : String(value);
  return untranslated(`${path}=${text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text}`);
}

function meets(answer: object, { path, values }: AnswerCondition): boolean {
  const value = claimAt(answer, path);
  return value !== undefined && (typeof value !== 'object' || value === null) && values.includes(String(value));
}

function refusal(detail: Text): BrokerError {
  return new BrokerError('session_invalid', { detail });
}

function headersFrom(session: string): Record<string, string> {
  try {
    const headers = new Headers(JSON.parse(session) as Record<string, string>);
    headers.set('accept', 'application/json');
    return Object.fromEntries(headers);
  } catch {
    throw refusal(SESSION_REASONS.noHeader);
  }
}
