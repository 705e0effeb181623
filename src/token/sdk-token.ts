import { digest, type Subject } from './subject.ts';

/** The fields that every token answer has. The API documents them, and the vendor must send all but two. */
export const TOKEN_FIELDS = ['accessId', 'accessToken', 'expireTime', 'terminalId', 'expand', 'expend'] as const;

/** The result of a vendor login. */
export interface SdkToken {
  /** The vendor's `data` as strings: {@link TOKEN_FIELDS} and every other field that the vendor sent. */
  readonly fields: Readonly<Record<string, string>>;
  /** When the broker sent the login: epoch ms on our clock. */
  readonly issuedAt: number;
  /** Epoch ms on our clock. */
  readonly expiresAt: number;
}

/** A token as the store keeps it. */
export interface TokenRecord {
  readonly subject: Subject;
  /** The country that the login was made with. */
  readonly region: string;
  readonly token: SdkToken;
  /**
   * Larger is newer. The login was sent at this time of the store's clock or later: epoch ms. With a lease, it is the
   * time when the store granted the lease, made strictly increasing.
   */
  readonly generation: number;
  /** When the vendor had answered the login, by the store's clock: epoch ms. */
  readonly answeredAt: number;
  /** Whether an app has read this generation. */
  readonly read: boolean;
  /** Consecutive renewals, including this one, of which no app had read the token before the next renewal. */
  readonly unreadRenewals: number;
  /** Whether another login may have ended it: nobody knows which the vendor received last. It is due at once. */
  readonly suspect: boolean;
}

/** The answer for the app. It is built when the store or the vendor returns the token. */
export interface ServedToken {
  /** JSON of the token's fields in pure ASCII. Node writes an ASCII string and the headers in one piece. */
  readonly body: string;
  /** Strong entity tag (RFC 9110 §8.8.3), equal on every replica. */
  readonly etag: string;
}

const NON_ASCII = /[\u0080-\uffff]/g;

/** JSON in pure ASCII, with other characters escaped by UTF-16 code unit (RFC 8259 §7). */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(NON_ASCII, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function serveToken({ token }: Pick<TokenRecord, 'token'>): ServedToken {
  const body = asciiJson(token.fields);
  return { body, etag: `"${digest(body)}"` };
}
