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
  /** The signature covers its `host`: the request must be sent with it as the `Host` header. */
  readonly url: URL;
  /** All headers of the protocol except `Host` and `Content-Length`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly stringToSign: string;
}

/** Signs a `thirdCustLogin` (docs/vendor-login.md, "Request" and "Signature"). `body` has exactly the signed bytes. */
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
  // In ASCII order of the names. `host` has the port only if it is not the default of the scheme.
  const stringToSign = [
    `Host:${url.host}`,
    `Payload:${hash('sha256', body, 'hex')}`,
    `X-IotVideo-AccessID:${accessId}`,
    `X-IotVideo-Nonce:${nonce}`,
    `X-IotVideo-Timestamp:${timestamp}`,
  ].join('\n');
  const headers = {
    'Content-Type': 'application/json',
    'X-IotVideo-AccessID': accessId,
    'X-IotVideo-Nonce': String(nonce),
    'X-IotVideo-Timestamp': String(timestamp),
    // The key is UTF-8 text, even if it looks like hex.
    'X-IotVideo-Signature': createHmac('sha1', app.appKey).update(stringToSign).digest('base64'),
  };
  return { url, headers, body, stringToSign };
}

/** A random integer from 1 to 2147483646. Each signature needs a new one. */
export function newNonce(): number {
  return randomInt(1, NONCE_END);
}
