import type { Login } from './login-verifier.ts';

const MAX_ATTEMPTS = 10_000;

export interface TerminalLogins {
  readonly unionId: string;
  readonly uniqueId: string;
  readonly logins: number;
}

export interface LoginCountsSnapshot {
  /** All requests, except those to `/simulator/`. */
  readonly requests: number;
  /** Times of the last 10,000 requests to the login endpoint in epoch ms, including failed ones. */
  readonly attempts: readonly number[];
  /** Logins that took effect, whether or not the caller received the answer. */
  readonly succeeded: number;
  /** Valid logins that arrived before an earlier login of the same app and terminal was answered. */
  readonly concurrent: number;
  readonly refusalsByCode: Readonly<Record<string, number>>;
  readonly loginsByTerminal: readonly TerminalLogins[];
}

/** Counts the requests and logins that reach the simulated vendor. */
export class LoginCounts {
  #requests = 0;
  #succeeded = 0;
  #concurrent = 0;
  readonly #attempts: number[] = [];
  readonly #pending = new Map<string, number>();
  readonly #refusals = new Map<number, number>();
  readonly #terminals = new Map<string, TerminalLogins>();

  countRequest(): void {
    this.#requests += 1;
  }

  /** @param at epoch ms */
  countAttempt(at: number): void {
    this.#attempts.push(at);
    if (this.#attempts.length > MAX_ATTEMPTS) this.#attempts.shift();
  }

  /** Counts a login as pending until the returned function is called. */
  startLogin({ appId, unionId, uniqueId }: Login): () => void {
    const key = JSON.stringify([appId, unionId, uniqueId]);
    const others = this.#pending.get(key) ?? 0;
    if (others > 0) this.#concurrent += 1;
    this.#pending.set(key, others + 1);
    return () => {
      const left = (this.#pending.get(key) ?? 1) - 1;
      if (left > 0) this.#pending.set(key, left);
      else this.#pending.delete(key);
    };
  }

  countSuccess({ unionId, uniqueId }: Login): void {
    this.#succeeded += 1;
    const logins = this.loginsOf(unionId, uniqueId) + 1;
    this.#terminals.set(terminalKey(unionId, uniqueId), { unionId, uniqueId, logins });
  }

  countRefusal(code: number): void {
    this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
  }

  loginsOf(unionId: string, uniqueId: string): number {
    return this.#terminals.get(terminalKey(unionId, uniqueId))?.logins ?? 0;
  }

  snapshot(): LoginCountsSnapshot {
    return {
      requests: this.#requests,
      attempts: [...this.#attempts],
      succeeded: this.#succeeded,
      concurrent: this.#concurrent,
      refusalsByCode: Object.fromEntries(this.#refusals),
      loginsByTerminal: [...this.#terminals.values()],
    };
  }
}

function terminalKey(unionId: string, uniqueId: string): string {
  return JSON.stringify([unionId, uniqueId]);
}
