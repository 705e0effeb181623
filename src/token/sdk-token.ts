import { hash } from 'node:crypto';
import type { Subject } from './subject.ts';

/** The fields that every token has, in the order of the answer to an app. A vendor may add more. */
export const TOKEN_FIELDS = ['accessId', 'accessToken', 'expireTime', 'terminalId', 'expand', 'expend'] as const;

/** The result of a vendor login. */
export interface SdkToken {
  /** The vendor's `data`: {@link TOKEN_FIELDS} and every other field the vendor sent. `expireTime` is in epoch seconds. */
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
  /**
   * JSON of the token's fields, in ASCII alone. A string: Node sends it in one piece with the headers, a buffer in two; and
   * as Latin-1 with less work than as UTF-8.
   */
  readonly body: string;
  /** Its bytes, as `Content-Length` has them. */
  readonly length: string;
  /** Strong entity tag (RFC 9110 §8.8.3), the same on every replica. */
  readonly etag: string;
}

const BEYOND_ASCII = /[\u0080-\uffff]/g;

/** RFC 8259 §7. */
function escaped(codeUnit: string): string {
  return `\\u${codeUnit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

export function serveToken(record: TokenRecord): ServedToken {
  const body = JSON.stringify(record.token.fields).replace(BEYOND_ASCII, escaped);
  return { record, body, length: String(body.length), etag: `"${hash('sha256', body, 'base64url').slice(0, 22)}"` };
}
