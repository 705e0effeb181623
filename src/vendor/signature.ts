import { createHmac, hash } from 'node:crypto';

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
