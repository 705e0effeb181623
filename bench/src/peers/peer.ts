/** Whose token, and where the account lives. */
export interface Asked {
  readonly unionId: string;
  readonly uniqueId: string;
  readonly region: string;
}

/** A token as a peer keeps it. */
export interface PeerToken {
  readonly fields: Readonly<Record<string, string>>;
  readonly etag: string;
  /** Epoch ms. */
  readonly expiresAt: number;
}

/** Where tokens come from. */
export type Login = (asked: Asked) => Promise<PeerToken>;

/** Who a session says its bearer is. */
export interface Bearer {
  readonly unionId: string;
  readonly region: string;
}

/** @throws when the session is not to be believed */
export type VerifySession = (session: string) => Promise<Bearer>;

/** Another way to do what the broker does. */
export interface Peer {
  readonly verify: VerifySession;
  readonly read: (asked: Asked) => Promise<PeerToken>;
  /** Lets connections go. */
  readonly close: () => Promise<void>;
}

export interface PeerParts {
  readonly redisUrl: string;
  readonly login: Login;
  /** Checks the signature and the claims each time it is called. */
  readonly verify: VerifySession;
}
