import { createHmac, hash, randomInt } from 'node:crypto';
import type { Subject } from '../token/subject.ts';

/** One of the customer's apps, for example the one for iOS. The vendor issues everything except `name`. */
export interface VendorApp {
  /** The customer's name for it, for example `ios`. */
  readonly name: string;
  readonly appId: string;
  readonly appToken: string;
  /** The key of the signatures. */
  readonly appKey: string;
  /** The header `X-IotVideo-AccessID`: the `appId`, unless the vendor issued another value. */
  readonly accessId: string;
}

/** The parts that a signature covers (docs/vendor-login.md, "Signature"). */
interface SignedParts {
  /** As in the `Host` header: with the port only if it is not the default of the scheme. */
  readonly host: string;
  /** The SHA-256 of exactly the bytes that are sent, in lower-case hex. */
  readonly payload: string;
  readonly accessId: string;
  readonly nonce: number;
  /** Epoch seconds by the vendor's clock. */
  readonly timestamp: number;
}

/** The signed lines, in ASCII order of their names, without a trailing newline. */
function stringToSign({ host, payload, accessId, nonce, timestamp }: SignedParts): string {
  return [
    `Host:${host}`,
    `Payload:${payload}`,
    `X-IotVideo-AccessID:${accessId}`,
    `X-IotVideo-Nonce:${nonce}`,
    `X-IotVideo-Timestamp:${timestamp}`,
  ].join('\n');
}

/** The HMAC-SHA1 in base64. The key is UTF-8 text, even if it looks like hex. */
function signature(appKey: string, text: string): string {
  return createHmac('sha1', appKey).update(text).digest('base64');
}

const PATH = '/openapi/custCloud/app/user/thirdCustLogin';
/** The largest nonce is one below. */
const NONCE_END = 2_147_483_647;

export interface LoginParts {
  /** The vendor's domain. A path in the URL stays as a prefix. */
  readonly domain: URL;
  readonly app: VendorApp;
  readonly subject: Subject;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly region: string;
  readonly nonce: number;
  /** Epoch seconds by the vendor's clock. */
  readonly timestamp: number;
}

/** A signed login, ready for a POST. */
export interface PreparedLogin {
  readonly url: URL;
  /** The `Host` header that the signature covers. The request must be sent with it. */
  readonly host: string;
  /** All headers except `Host` and `Content-Length`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly stringToSign: string;
}

/** Signs a `thirdCustLogin` (docs/vendor-login.md, "Request"). The returned body holds exactly the signed bytes. */
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
  const text = stringToSign({ host: url.host, payload: hash('sha256', body, 'hex'), accessId, nonce, timestamp });
  const headers = {
    'Content-Type': 'application/json',
    'X-IotVideo-AccessID': accessId,
    'X-IotVideo-Nonce': String(nonce),
    'X-IotVideo-Timestamp': String(timestamp),
    'X-IotVideo-Signature': signature(app.appKey, text),
  };
  return { url, host: url.host, headers, body, stringToSign: text };
}

/** A random integer from 1 to 2147483646. Each signature needs a new one. */
export function newNonce(): number {
  return randomInt(1, NONCE_END);
}
