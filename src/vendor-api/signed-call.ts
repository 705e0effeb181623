import { createHmac, hash, randomInt } from 'node:crypto';
import type { Subject } from '../token/subject.ts';

/** One edition of the customer's app as the vendor knows it. All but `name` comes from the vendor. */
export interface VendorApp {
  /** What the customer calls it, e.g. `ios`. */
  readonly name: string;
  readonly appId: string;
  readonly appToken: string;
  /** Keys the signatures. */
  readonly appKey: string;
  /** `X-IotVideo-AccessID`; the `appId` unless the vendor says otherwise. */
  readonly accessId: string;
}

/** What a signature covers (protocol.md, "Signature"). */
export interface SignedParts {
  /** As the `Host` header carries it: the port only where it is not the scheme's default. */
  readonly host: string;
  /** {@link payloadDigest} of the body. */
  readonly payload: string;
  readonly accessId: string;
  readonly nonce: number;
  /** Epoch seconds, the vendor's clock. */
  readonly timestamp: number;
}

/** Lower-case hex SHA-256 of exactly the bytes that are sent. */
export function payloadDigest(body: Uint8Array): string {
  return hash('sha256', body, 'hex');
}

/** The lines that are signed, in ASCII order of their names, without a trailing newline. */
export function stringToSign({ host, payload, accessId, nonce, timestamp }: SignedParts): string {
  return [
    `Host:${host}`,
    `Payload:${payload}`,
    `X-IotVideo-AccessID:${accessId}`,
    `X-IotVideo-Nonce:${nonce}`,
    `X-IotVideo-Timestamp:${timestamp}`,
  ].join('\n');
}

/** Base64 of the HMAC-SHA1. The key is taken as UTF-8 text, though it may look like hex. */
export function signature(appKey: string, text: string): string {
  return createHmac('sha1', appKey).update(text).digest('base64');
}

const PATH = '/openapi/custCloud/app/user/thirdCustLogin';
const MAX_NONCE = 2_147_483_646;

export interface LoginParts {
  /** Where the vendor's API lives; a path on it is kept as a prefix. */
  readonly domain: URL;
  readonly app: VendorApp;
  readonly subject: Subject;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly region: string;
  readonly nonce: number;
  /** Epoch seconds, the vendor's clock. */
  readonly timestamp: number;
}

/** A signed login, ready to be sent as a POST. */
export interface PreparedLogin {
  readonly url: URL;
  /** The `Host` header the signature covers. Whoever sends the request must send this one. */
  readonly host: string;
  /** All headers but `Host` and `Content-Length`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly stringToSign: string;
}

/** Signs a `thirdCustLogin` (protocol.md, "Request"). The body is serialised once: the bytes signed are the bytes sent. */
export function prepareLogin({ domain, app, subject, region, nonce, timestamp }: LoginParts): PreparedLogin {
  const url = new URL(domain.pathname.replace(/\/+$/, '') + PATH, domain.origin);
  const body = Buffer.from(
    JSON.stringify({
      action: 'thirdCustLogin',
      appId: app.appId,
      appToken: app.appToken,
      uniqueId: subject.uniqueId,
      unionId: subject.unionId,
      regRegion: region,
    }),
  );
  const { accessId } = app;
  const text = stringToSign({ host: url.host, payload: payloadDigest(body), accessId, nonce, timestamp });
  const headers = {
    'Content-Type': 'application/json',
    'X-IotVideo-AccessID': accessId,
    'X-IotVideo-Nonce': String(nonce),
    'X-IotVideo-Timestamp': String(timestamp),
    'X-IotVideo-Signature': signature(app.appKey, text),
  };
  return { url, host: url.host, headers, body, stringToSign: text };
}

/** 1 to 2147483646. Each signature takes a new one. */
export function newNonce(): number {
  return randomInt(1, MAX_NONCE + 1);
}
