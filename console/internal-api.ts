import type { StatusReport } from '../src/http/status-report.ts';

/** An account as `GET /accounts/{unionId}` shows it. */
export interface Account {
  readonly accessId: string;
  readonly region: string;
  readonly coolDown?: { readonly until: string; readonly code: string };
  readonly terminals: readonly Terminal[];
  /** The maximum number of terminals. */
  readonly terminalLimit: number;
}

export interface Terminal {
  readonly app: string;
  readonly uniqueId: string;
  readonly issuedAt: string;
  readonly expiresAt: string;
  readonly refreshAt: string;
  readonly readSinceRefresh: boolean;
}

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
  | { readonly kind: 'unreachable' };

export type Answer<Value> = { readonly kind: 'answer'; readonly value: Value } | Failure;

const TIMEOUT_MS = 10_000;
const STORAGE_KEY = 'sdk-token-broker.admin-token';

/** The token of this tab. If the browser forbids storage, a reload forgets the token. */
export class TabToken {
  #value: string | undefined;

  constructor() {
    try {
      this.#value = sessionStorage.getItem(STORAGE_KEY) ?? undefined;
    } catch {
      this.#value = undefined;
    }
  }

  get value(): string | undefined {
    return this.#value;
  }

  set(value: string | undefined): void {
    this.#value = value;
    try {
      if (value === undefined) sessionStorage.removeItem(STORAGE_KEY);
      else sessionStorage.setItem(STORAGE_KEY, value);
    } catch {
      // It stays in memory.
    }
  }
}

/** The calls to the internal API of the replica that served the page. A call never throws. */
export class InternalApi {
  readonly #token: () => string | undefined;

  constructor(token: () => string | undefined) {
    this.#token = token;
  }

  status(): Promise<Answer<StatusReport>> {
    return this.ask('GET', 'status');
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
  async ask<Value>(method: string, path: string, body?: object): Promise<Answer<Value>> {
    const token = this.#token();
    try {
      const response = await fetch(path, {
        method,
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        cache: 'no-store',
        credentials: 'omit',
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await response.text();
      if (response.ok) return { kind: 'answer', value: (text === '' ? undefined : JSON.parse(text)) as Value };
      return failureOf(response, text);
    } catch {
      return { kind: 'unreachable' };
    }
  }
}

function accountPath(unionId: string): string {
  return `accounts/${encodeURIComponent(unionId)}`;
}

function failureOf({ status, headers }: Response, text: string): Failure {
  if (status === 401) return { kind: 'unauthorized' };
  const waitMs = 1_000 * Number(headers.get('retry-after') ?? 1);
  if (status === 429) return { kind: 'limited', waitMs };
  let problem: { code?: string; title?: string; detail?: string; requestId?: string } = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // A proxy answered.
  }
  const { code = '–', title = `HTTP ${status}`, detail, requestId = '–' } = problem;
  return { kind: 'problem', status, code, title, detail, requestId };
}
