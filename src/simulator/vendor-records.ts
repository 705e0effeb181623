import { createHash, randomBytes } from 'node:crypto';
import type { Login } from './login-verifier.ts';
import type { Mode } from './vendor-settings.ts';

interface TokenEntry {
  readonly terminal: string;
  readonly serial: number;
  readonly expiresAt: number;
}

/** Every token that the simulated vendor has issued, and whether it is still valid. */
export function issuedTokens() {
  const tokens = new Map<string, TokenEntry>();
  /** Terminal → serial of its oldest token that no later login has replaced. */
  const oldestSerial = new Map<string, number>();
  let nextSerial = 0;
  return { issue, statusOf };

  /** @param now epoch ms */
  function issue(login: Login, mode: Mode, now: number, lifetimeMs: number) {
    const { appId, unionId, uniqueId, regRegion } = login;
    const terminal = JSON.stringify([appId, unionId, uniqueId]);
    const serial = nextSerial++;
    if (mode === 'replace') oldestSerial.set(terminal, serial);
    const token = {
      /** 128 hex digits. */
      accessToken: randomBytes(64).toString('hex'),
      /** A signed 64-bit integer. Every login of an account gets the same one. */
      accessId: stableInt64(['account', unionId]),
      /** A signed 64-bit integer. Every login of a terminal gets the same one. */
      terminalId: stableInt64(['terminal', unionId, uniqueId]),
      /** JSON in a string. */
      expand: JSON.stringify({ area: regRegion.toLowerCase(), regRegion }),
      /** Epoch ms. */
      expiresAt: now + lifetimeMs,
    };
    tokens.set(token.accessToken, { terminal, serial, expiresAt: token.expiresAt });
    return token;
  }

  /** The status of the token, as an SDK would find it at `now` (epoch ms). All `false`: the vendor never issued it. */
  function statusOf(accessToken: string, now: number) {
    const entry = tokens.get(accessToken);
    if (entry === undefined) return { live: false, expired: false, replaced: false };
    const expired = now >= entry.expiresAt;
    const replaced = entry.serial < (oldestSerial.get(entry.terminal) ?? 0);
    return { live: !expired && !replaced, expired, replaced };
  }
}

export type IssuedToken = Readonly<ReturnType<ReturnType<typeof issuedTokens>['issue']>>;

function stableInt64(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest().readBigInt64BE().toString();
}

const MAX_ATTEMPTS = 10_000;

interface TerminalLogins {
  readonly unionId: string;
  readonly uniqueId: string;
  readonly logins: number;
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

  snapshot() {
    return {
      /** All requests, except those to `/simulator/`. */
      requests: this.#requests,
      /** Times of the last 10,000 requests to the login endpoint in epoch ms, including failed ones. */
      attempts: [...this.#attempts],
      /** Logins that took effect, whether or not the caller received the answer. */
      succeeded: this.#succeeded,
      /** Valid logins that arrived before an earlier login of the same app and terminal was answered. */
      concurrent: this.#concurrent,
      refusalsByCode: Object.fromEntries(this.#refusals),
      loginsByTerminal: [...this.#terminals.values()],
    };
  }
}

function terminalKey(unionId: string, uniqueId: string): string {
  return JSON.stringify([unionId, uniqueId]);
}
