import { createHash, randomBytes } from 'node:crypto';
import type { Login } from './login-verifier.ts';
import type { Mode } from './vendor-settings.ts';

export interface IssuedToken {
  /** 128 hex digits. */
  readonly accessToken: string;
  /** A signed 64-bit integer. Every login of an account gets the same one. */
  readonly accessId: string;
  /** A signed 64-bit integer. Every login of a terminal gets the same one. */
  readonly terminalId: string;
  /** JSON in a string. */
  readonly expand: string;
  /** Epoch ms. */
  readonly expiresAt: number;
}

/** The status of a token, as an SDK would find it. All `false`: the vendor never issued the token. */
export interface TokenStatus {
  readonly live: boolean;
  readonly expired: boolean;
  readonly replaced: boolean;
}

interface TokenEntry {
  readonly terminal: string;
  readonly serial: number;
  readonly expiresAt: number;
}

/** The vendor's areas and some of their regions. */
const REGIONS = { cn: ['CN'], sg: ['SG', 'VN', 'IN'], de: ['DE', 'FR', 'GB'], us: ['US', 'CA', 'MX'] };

/** Every token that the simulated vendor has issued, and whether it is still valid. */
export class IssuedTokens {
  readonly #tokens = new Map<string, TokenEntry>();
  /** Terminal → serial of its oldest token that no later login has replaced. */
  readonly #oldestSerial = new Map<string, number>();
  #nextSerial = 0;

  /** @param now epoch ms */
  issue(login: Login, mode: Mode, now: number, lifetimeMs: number): IssuedToken {
    const { appId, unionId, uniqueId, regRegion } = login;
    const terminal = JSON.stringify([appId, unionId, uniqueId]);
    const serial = this.#nextSerial++;
    if (mode === 'replace') this.#oldestSerial.set(terminal, serial);
    const token: IssuedToken = {
      accessToken: randomBytes(64).toString('hex'),
      accessId: stableInt64(['account', unionId]),
      terminalId: stableInt64(['terminal', unionId, uniqueId]),
      expand: JSON.stringify({ area: areaOf(regRegion), regRegion }),
      expiresAt: now + lifetimeMs,
    };
    this.#tokens.set(token.accessToken, { terminal, serial, expiresAt: token.expiresAt });
    return token;
  }

  /** @param now epoch ms */
  statusOf(accessToken: string, now: number): TokenStatus {
    const entry = this.#tokens.get(accessToken);
    if (entry === undefined) return { live: false, expired: false, replaced: false };
    const expired = now >= entry.expiresAt;
    const replaced = entry.serial < (this.#oldestSerial.get(entry.terminal) ?? 0);
    return { live: !expired && !replaced, expired, replaced };
  }
}

function stableInt64(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest().readBigInt64BE().toString();
}

function areaOf(region: string): string {
  return Object.entries(REGIONS).find(([, regions]) => regions.includes(region))?.[0] ?? 'unknown';
}
