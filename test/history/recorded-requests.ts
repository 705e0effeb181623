import { setTimeout as sleep } from 'node:timers/promises';
import type { Exchange, Terminal } from '../judge/recording.ts';
import { plainRequest } from '../support/plain-request.ts';
import { ADMIN_TOKEN, type World } from './world.ts';

/** Longer than any read may take. */
const TIMEOUT_MS = 30_000;
const END_ATTEMPTS = 5;

/** The calls that end all sessions of an account. */
export const SESSIONS_ENDS = ['accountLogout', 'erasure'] as const;
export type SessionsEnd = (typeof SESSIONS_ENDS)[number];

export interface Session {
  readonly text: string;
  /** What the session says: its second, so up to one second before it was issued. */
  readonly issuedAt: number;
}

/** A token as an app holds it. */
export interface HeldToken {
  readonly token: string;
  readonly etag: string;
}

/** The app and the customer cloud: sends requests to the replicas, and records each one in the history. */
export class RecordedRequests {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  async openSession(account: string): Promise<Session> {
    const issuedAt = this.#world.history.now() - (Date.now() % 1_000);
    return { issuedAt, text: await this.#world.cloud.issueSession({ unionId: account, region: 'DE' }) };
  }

  read(terminal: Terminal, session: Session, replica: number, isFinal = false): Promise<Exchange> {
    return this.#send({ kind: 'read', ...terminal, replica, ...(isFinal && { isFinal }) }, session);
  }

  /** Reports a token that the vendor refuses. */
  report(
    terminal: Terminal,
    session: Session,
    replica: number,
    { token, etag }: HeldToken,
    isFinal = false,
  ): Promise<Exchange> {
    const about = { kind: 'report', ...terminal, replica, reported: token, ...(isFinal && { isFinal }) } as const;
    return this.#send(about, session, { refused: etag.slice(1, -1) });
  }

  logOut(terminal: Terminal, session: Session, replica: number): Promise<Exchange> {
    return this.#send({ kind: 'logout', ...terminal, replica }, session);
  }

  /** Ends the sessions of an account until now. The customer cloud repeats the call until it succeeds, elsewhere. */
  async endSessions(kind: SessionsEnd, account: string, replicaOf: (attempt: number) => number): Promise<void> {
    for (let attempt = 0; attempt < END_ATTEMPTS; attempt += 1) {
      const { status } = await this.#send({ kind, account, replica: replicaOf(attempt) });
      if (status === 204) break;
      // A call without an answer may still take effect for a moment.
      await sleep(1_000);
    }
  }

  /** Asks the internal API for the account. */
  find(account: string, replica: number): Promise<Exchange> {
    return this.#send({ kind: 'account', account, replica });
  }

  async #send(
    about: Omit<Exchange, 'sentAt' | 'endedAt' | 'status'>,
    session?: Session,
    report: Readonly<Record<string, string>> = {},
  ): Promise<Exchange> {
    const { history, replicas } = this.#world;
    const urls = replicas[about.replica]?.urls;
    const exchange = history.sent({ ...about, ...(session && { sessionIssuedAt: session.issuedAt }) });
    const authorization = `Bearer ${session?.text ?? ADMIN_TOKEN}`;
    history.ended(exchange, await this.#answerTo(urls, about, { authorization }, report));
    return exchange;
  }

  async #answerTo(
    urls: { readonly public: string; readonly internal: string } | undefined,
    { kind, account, uniqueId = '' }: Pick<Exchange, 'kind' | 'account' | 'uniqueId'>,
    headers: Readonly<Record<string, string>>,
    report: Readonly<Record<string, string>>,
  ): Promise<Pick<Exchange, 'status' | 'code' | 'token' | 'etag'>> {
    if (!urls) return { status: 0 };
    const isInternal = !['read', 'report', 'logout'].includes(kind);
    const path = isInternal
      ? `${urls.internal}/accounts/${encodeURIComponent(account)}${kind === 'accountLogout' ? '/terminals' : ''}`
      : `${urls.public}/sdk-token?${new URLSearchParams({ uniqueId, ...report })}`;
    const method = ['logout', 'accountLogout', 'erasure'].includes(kind) ? 'DELETE' : 'GET';
    try {
      const answer = await plainRequest(path, { method, headers, timeoutMs: TIMEOUT_MS });
      const { status } = answer;
      if (status >= 400) return { status, code: textAt(answer.body, 'code') };
      if (status !== 200 || isInternal) return { status };
      return { status, token: textAt(answer.body, 'accessToken'), etag: answer.headers.etag ?? '' };
    } catch {
      return { status: 0 };
    }
  }
}

/** A field of a JSON object; empty if the text is something else. */
function textAt(body: string, field: string): string {
  try {
    return String(Object(JSON.parse(body))[field] ?? '');
  } catch {
    return '';
  }
}

/** Resolves in the next second. A session that is issued then says that it is newer than everything before. */
export function untilNextSecond(): Promise<void> {
  return sleep(1_010 - (Date.now() % 1_000));
}

/** The token of a successful read. */
export function heldToken({ status, token, etag }: Exchange): HeldToken | undefined {
  return status === 200 && token !== undefined && etag !== undefined ? { token, etag } : undefined;
}
