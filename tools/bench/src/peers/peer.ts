import { hash } from 'node:crypto';
import type { SdkToken } from '../../../../src/token/sdk-token.ts';

/** The account that a session names. */
export interface SessionAccount {
  readonly unionId: string;
  readonly region: string;
}

export interface PeerSubject extends SessionAccount {
  readonly uniqueId: string;
}

/** A token as a peer stores it. */
export interface PeerToken {
  readonly fields: Readonly<Record<string, string>>;
  readonly etag: string;
  /** Epoch ms. */
  readonly expiresAt: number;
}

/** An alternative implementation of what the broker does. */
export interface Peer {
  /** @throws if the session is not valid */
  readonly verify: (session: string) => Promise<SessionAccount>;
  readonly read: (subject: PeerSubject) => Promise<PeerToken>;
  /** Closes the connections. */
  readonly close: () => Promise<unknown>;
}

export interface PeerParts {
  readonly redisUrl: string;
  readonly login: (subject: PeerSubject) => Promise<PeerToken>;
  /** Checks the signature and the claims on every call. */
  readonly verify: Peer['verify'];
}

export function peerToken({ fields, expiresAt }: SdkToken): PeerToken {
  const etag = `"${hash('sha256', JSON.stringify(fields), 'base64url').slice(0, 22)}"`;
  return { fields, etag, expiresAt };
}
