import type { Login } from './login-body.ts';

const ATTEMPTS_KEPT = 10_000;

export interface TerminalLogins {
  readonly unionId: string;
  readonly uniqueId: string;
  readonly logins: number;
}

export interface LoginCountsSnapshot {
  /** Everything that came in but for `/simulator/`. */
  readonly requests: number;
  /** Epoch ms of the last 10,000 requests to the login endpoint, whatever became of them. */
  readonly attempts: readonly number[];
  /** Logins that took effect, whether or not the caller got the answer. */
  readonly succeeded: number;
  /** Verified logins that arrived while another of the same app and terminal was still being answered. */
  readonly concurrent: number;
  readonly refusalsByCode: Readonly<Record<string, number>>;
  readonly loginsByTerminal: readonly TerminalLogins[];
}

/** What the simulated vendor saw. */
export class LoginCounts {
  #requests = 0;
  #succeeded = 0;
  #concurrent = 0;
  readonly #attempts: number[] = [];
  readonly #open = new Map<string, number>();
  readonly #refusals = new Map<number, number>();
  readonly #terminals = new Map<string, TerminalLogins>();

  request(): void {
    this.#requests += 1;
  }

  /** @param at epoch ms */
  attempt(at: number): void {
    this.#attempts.push(at);
    if (this.#attempts.length > ATTEMPTS_KEPT) this.#attempts.shift();
  }

  /** Notes that a login is being answered, until the returned function is called. */
  open(login: Login): () => void {
    const key = JSON.stringify([login.appId, login.unionId, login.uniqueId]);
    const others = this.#open.get(key) ?? 0;
    if (others > 0) this.#concurrent += 1;
    this.#open.set(key, others + 1);
    return () => {
      const left = (this.#open.get(key) ?? 1) - 1;
      if (left > 0) this.#open.set(key, left);
      else this.#open.delete(key);
    };
  }

  success({ unionId, uniqueId }: Login): void {
    this.#succeeded += 1;
    const key = terminalKey(unionId, uniqueId);
    this.#terminals.set(key, { unionId, uniqueId, logins: this.loginsOf(unionId, uniqueId) + 1 });
  }

  refusal(code: number): void {
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
