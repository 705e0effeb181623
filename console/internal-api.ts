import type { Account } from '../src/http/routes/accounts.ts';
import type { StatusReport } from '../src/http/routes/status.ts';
import type { Call, Reply, Send } from './sealed-calls.ts';

export type Terminal = Account['terminals'][number];

export type Failure =
  /** The token is wrong, or no longer accepted. */
  | { readonly kind: 'unauthorized' }
  | { readonly kind: 'limited'; readonly waitMs: number }
  | {
      readonly kind: 'problem';
      readonly status: number;
      readonly code: string;
      readonly title: string;
      /** In English. */
      readonly detail: string | undefined;
      readonly requestId: string;
    }
  | { readonly kind: 'unreachable' }
  /** The answer is not of the process that this page is of, or that process has ended the session. */
  | { readonly kind: 'foreign' };

export type Answer<Value> = { readonly kind: 'answer'; readonly value: Value } | Failure;

/** The calls to the internal API of the replica that served the page. A call never throws. */
export class InternalApi {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  status(): Promise<Answer<StatusReport>> {
    return this.ask('GET', 'status');
  }

  /** Asks for the status with this token, and begins a session with it. */
  signIn(token: string): Promise<Answer<StatusReport>> {
    return this.#ask({ method: 'GET', path: 'status', token });
  }

  account(unionId: string): Promise<Answer<Account>> {
    return this.ask('GET', accountPath(unionId));
  }

  /** @returns unionId by accessId */
  lookUp(accessId: string): Promise<Answer<Readonly<Record<string, string>>>> {
    return this.ask('POST', 'accounts/lookup', { accessIds: [accessId] });
  }

  logOut(unionId: string, { app, uniqueId }: Pick<Terminal, 'app' | 'uniqueId'>): Promise<Answer<undefined>> {
    const path = `${accountPath(unionId)}/terminals/${encodeURIComponent(uniqueId)}`;
    return this.ask('DELETE', `${path}?app=${encodeURIComponent(app)}`);
  }

  erase(unionId: string): Promise<Answer<undefined>> {
    return this.ask('DELETE', accountPath(unionId));
  }

  /** @param path relative to the page, so that a proxy may add a prefix */
  ask<Value>(method: string, path: string, body?: object): Promise<Answer<Value>> {
    return this.#ask({ method, path, ...(body && { body: JSON.stringify(body) }) });
  }

  async #ask<Value>(call: Call): Promise<Answer<Value>> {
    try {
      const reply = await this.#send(call);
      const { status, text } = reply;
      if (!reply.isProved) return unprovedFailure(reply);
      if (status < 300) return { kind: 'answer', value: (text === '' ? undefined : JSON.parse(text)) as Value };
      return failureOf(reply);
    } catch {
      return { kind: 'unreachable' };
    }
  }
}

function accountPath(unionId: string): string {
  return `accounts/${encodeURIComponent(unionId)}`;
}

/** A replica that shuts down says so to everybody. */
function unprovedFailure(reply: Reply): Failure {
  const failure = reply.status === 503 ? failureOf(reply) : undefined;
  return failure?.kind === 'problem' && failure.code === 'shutting_down' ? failure : { kind: 'foreign' };
}

function failureOf({ status, retryAfter, text }: Reply): Failure {
  if (status === 401) return { kind: 'unauthorized' };
  if (status === 429) return { kind: 'limited', waitMs: 1_000 * retryAfter };
  let problem: { code?: string; title?: string; detail?: string; requestId?: string } = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // A proxy answered.
  }
  const { code = '–', title = `HTTP ${status}`, detail, requestId = '–' } = problem;
  return { kind: 'problem', status, code, title, detail, requestId };
}
