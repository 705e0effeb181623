import { hash } from 'node:crypto';
import type { SdkToken } from '../../../src/token/sdk-token.ts';

/** A subject and the country of its account. */
export interface PeerSubject {
  readonly unionId: string;
  readonly uniqueId: string;
  readonly region: string;
}

/** A token as a peer stores it. */
export interface PeerToken {
  readonly fields: Readonly<Record<string, string>>;
  readonly etag: string;
  /** Epoch ms. */
  readonly expiresAt: number;
}

export type Login = (subject: PeerSubject) => Promise<PeerToken>;

/** The account that a session names. */
export interface SessionAccount {
  readonly unionId: string;
  readonly region: string;
}

/** @throws if the session is not valid */
export type VerifySession = (session: string) => Promise<SessionAccount>;

/** An alternative implementation of what the broker does. */
export interface Peer {
  readonly verify: VerifySession;
  readonly read: (subject: PeerSubject) => Promise<PeerToken>;
  /** Closes the connections. */
  readonly close: () => Promise<void>;
}

export interface PeerParts {
  readonly redisUrl: string;
  readonly login: Login;
  /** Checks the signature and the claims on every call. */
  readonly verify: VerifySession;
}

export function peerToken({ fields, expiresAt }: SdkToken): PeerToken {
  const etag = `"${hash('sha256', JSON.stringify(fields), 'base64url').slice(0, 22)}"`;
  return { fields, etag, expiresAt };
}
