import { createHash, createHmac } from 'node:crypto';

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
