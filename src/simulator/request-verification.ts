import { createHash, createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { Refusal } from './refusal.ts';

/** What a login is signed over, each as the wire carried it. */
export interface SignedParts {
  readonly host: string;
  readonly accessId: string;
  readonly nonce: string;
  readonly timestamp: string;
  readonly body: Uint8Array;
}

/**
 * The signature the vendor expects, in Base64 (protocol.md, "Signature"). On purpose not the broker's own code: the
 * two must agree without sharing a line, or a mistake in one would pass.
 */
export function expectedSignature(parts: SignedParts, appKey: string): string {
  const payload = createHash('sha256').update(parts.body).digest('hex');
  const stringToSign =
    `Host:${parts.host}\n` +
    `Payload:${payload}\n` +
    `X-IotVideo-AccessID:${parts.accessId}\n` +
    `X-IotVideo-Nonce:${parts.nonce}\n` +
    `X-IotVideo-Timestamp:${parts.timestamp}`;
  return createHmac('sha1', Buffer.from(appKey, 'utf8')).update(stringToSign, 'utf8').digest('base64');
}

/** One edition of the app, as the vendor registered it. */
export interface VendorApp {
  readonly appId: string;
  readonly appToken: string;
  readonly appKey: string;
  /** What the app sends as `X-IotVideo-AccessID`; its `appId` unless given. */
  readonly accessId?: string;
}

export interface ReceivedRequest {
  readonly headers: IncomingHttpHeaders;
  /** Exactly the bytes that were sent. */
  readonly body: Buffer;
}

const TIMESTAMP_TOLERANCE_SECONDS = 300;
const NONCE_MAX = 2_147_483_646;
const NONCE_MEMORY_MS = 600_000;

/** Decides whether a request was signed by one of the apps (protocol.md, "Request" and "Signature"). */
export class RequestVerification {
  readonly #appByAccessId: ReadonlyMap<string, VendorApp>;
  /** Access id and nonce → epoch ms at which it was seen, oldest first. */
  readonly #nonces = new Map<string, number>();

  constructor(apps: readonly VendorApp[]) {
    this.#appByAccessId = new Map(apps.map((app) => [app.accessId ?? app.appId, app]));
  }

  /**
   * @param vendorNow epoch ms by the vendor's clock
   * @returns the app that signed
   * @throws Refusal 10007 ending `:-1` (body not read), `:-2` (clock), `:-3` (signature, nonce); 10901052
   */
  verify({ headers, body }: ReceivedRequest, vendorNow: number): VendorApp {
    if (!/^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '')) {
      throw failed('Content-Type must be application/json', -1);
    }
    if (headers['payload'] !== undefined) throw failed('Payload is signed, never sent as a header', -3);
    const host = header(headers, 'Host');
    const accessId = header(headers, 'X-IotVideo-AccessID');
    const nonce = header(headers, 'X-IotVideo-Nonce');
    const timestamp = header(headers, 'X-IotVideo-Timestamp');
    const signature = header(headers, 'X-IotVideo-Signature');

    if (!/^[1-9]\d{0,9}$/.test(nonce) || Number(nonce) > NONCE_MAX) {
      throw failed(`X-IotVideo-Nonce must be an integer from 1 to ${NONCE_MAX}`, -3);
    }
    if (!/^\d{1,12}$/.test(timestamp)) throw failed('X-IotVideo-Timestamp must be Unix seconds', -3);
    if (Math.abs(Math.floor(vendorNow / 1000) - Number(timestamp)) > TIMESTAMP_TOLERANCE_SECONDS) {
      throw failed('X-IotVideo-Timestamp is more than 5 minutes off', -2);
    }
    const app = this.#appByAccessId.get(accessId);
    if (app === undefined) throw new Refusal('appUnknown', 'no app with this X-IotVideo-AccessID');
    if (signature !== expectedSignature({ host, accessId, nonce, timestamp, body }, app.appKey)) {
      throw failed('X-IotVideo-Signature does not match', -3);
    }
    this.#spendNonce(`${accessId} ${nonce}`, vendorNow);
    return app;
  }

  #spendNonce(key: string, now: number): void {
    for (const [oldest, seenAt] of this.#nonces) {
      if (now - seenAt < NONCE_MEMORY_MS) break;
      this.#nonces.delete(oldest);
    }
    if (this.#nonces.has(key)) throw failed('X-IotVideo-Nonce was used before', -3);
    this.#nonces.set(key, now);
  }
}

function header(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name.toLowerCase()];
  if (typeof value !== 'string' || value === '') throw failed(`${name} is missing`, -3);
  return value;
}

function failed(reason: string, detail: -1 | -2 | -3): Refusal {
  return new Refusal('verificationFailed', `request verification failed: ${reason}:${detail}`);
}
