import { createHash, randomBytes } from 'node:crypto';
import type { Login } from './login-body.ts';

/** What a second login of a terminal does to its first token: nothing, or end it at once. Nobody public says which. */
export const MODES = ['overlap', 'replace'] as const;
export type Mode = (typeof MODES)[number];

export interface IssuedToken {
  /** 128 hex digits. */
  readonly accessToken: string;
  /** A signed 64-bit integer, the same for an account at every login. */
  readonly accessId: string;
  /** A signed 64-bit integer, the same for a terminal at every login. */
  readonly terminalId: string;
  /** A string holding JSON. */
  readonly expand: string;
  /** Epoch ms. */
  readonly expiresAt: number;
}

/** What an SDK would find out by using a token. All `false`: the vendor never issued it. */
export interface TokenStanding {
  readonly live: boolean;
  readonly expired: boolean;
  readonly replaced: boolean;
}

interface TokenEntry {
  readonly terminal: string;
  readonly serial: number;
  readonly expiresAt: number;
}

const AREA_BY_REGION: Readonly<Record<string, string>> = {
  CN: 'cn',
  SG: 'sg',
  VN: 'sg',
  IN: 'sg',
  DE: 'de',
  FR: 'de',
  GB: 'de',
  US: 'us',
  CA: 'us',
  MX: 'us',
};

/** Every token the simulated vendor ever issued, and which of them still live. */
export class VendorWorld {
  readonly #tokens = new Map<string, TokenEntry>();
  /** Terminal → the serial of its oldest token that no later login ended. */
  readonly #firstStanding = new Map<string, number>();
  #serial = 0;

  /** @param now epoch ms */
  issue(login: Login, mode: Mode, now: number, lifetimeMs: number): IssuedToken {
    const { appId, unionId, uniqueId, regRegion } = login;
    const terminal = JSON.stringify([appId, unionId, uniqueId]);
    const serial = this.#serial++;
    if (mode === 'replace') this.#firstStanding.set(terminal, serial);
    const token: IssuedToken = {
      accessToken: randomBytes(64).toString('hex'),
      accessId: stableInt64(['account', unionId]),
      terminalId: stableInt64(['terminal', unionId, uniqueId]),
      expand: JSON.stringify({ area: AREA_BY_REGION[regRegion] ?? 'unknown', regRegion }),
      expiresAt: now + lifetimeMs,
    };
    this.#tokens.set(token.accessToken, { terminal, serial, expiresAt: token.expiresAt });
    return token;
  }

  /** @param now epoch ms */
  check(accessToken: string, now: number): TokenStanding {
    const entry = this.#tokens.get(accessToken);
    if (entry === undefined) return { live: false, expired: false, replaced: false };
    const expired = now >= entry.expiresAt;
    const replaced = entry.serial < (this.#firstStanding.get(entry.terminal) ?? 0);
    return { live: !expired && !replaced, expired, replaced };
  }
}

function stableInt64(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest().readBigInt64BE().toString();
}
