import { hash } from 'node:crypto';
import type { Subject } from './subject.ts';

/** What a vendor login yields. */
export interface SdkToken {
  /**
   * The vendor's `data`, every value a string: at least accessId, accessToken, expireTime (epoch seconds), terminalId,
   * expand and expend, plus whatever else the vendor sent.
   */
  readonly fields: Readonly<Record<string, string>>;
  /** Epoch ms, our clock: when the login was sent. */
  readonly issuedAt: number;
  /** Epoch ms, our clock. */
  readonly expiresAt: number;
}

/** A token as the store keeps it. */
export interface TokenRecord {
  readonly subject: Subject;
  /** The country its login was made with. */
  readonly region: string;
  readonly token: SdkToken;
  /** Larger is newer. The instant (epoch ms, the store's clock) its lease was handed out, made strictly increasing. */
  readonly generation: number;
  /** Whether an app has read this generation. */
  readonly read: boolean;
  /** Renewals in a row, this one included, that no app had read when the next was made. */
  readonly unreadRenewals: number;
}

/** A record with what an app is answered, made once per token. */
export interface ServedToken {
  readonly record: TokenRecord;
  /** JSON of the token's fields. A string: Node sends it in one piece with the headers, a buffer in two. */
  readonly body: string;
  /** Its bytes, as `Content-Length` has them. */
  readonly length: string;
  /** Strong entity tag (RFC 9110 §8.8.3), the same on every replica. */
  readonly etag: string;
}

export function serveToken(record: TokenRecord): ServedToken {
  const body = JSON.stringify(record.token.fields);
  const length = String(Buffer.byteLength(body));
  return { record, body, length, etag: `"${hash('sha256', body, 'base64url').slice(0, 22)}"` };
}
