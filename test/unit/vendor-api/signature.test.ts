import { describe, expect, it } from 'vitest';
import { payloadDigest, signature, stringToSign } from '../../../src/vendor-api/signed-call.ts';
import vectors from '../../fixtures/signature-vectors.json' with { type: 'json' };

describe('the signature', () => {
  it('is tested with all 8 test vectors', () => expect(vectors).toHaveLength(8));

  it.each(vectors)('equals the vendor’s for nonce $nonce at $host', (vector) => {
    const payload = payloadDigest(Buffer.from(vector.body));
    expect(payload).toBe(vector.payload);
    expect(signature(vector.appKey, stringToSign(vector))).toBe(vector.signature);
  });

  it('covers five lines in ASCII order, without a space or a trailing newline', () => {
    const parts = { host: 'h:8443', payload: 'p', accessId: 'a', nonce: 1, timestamp: 2 };
    expect(stringToSign(parts)).toBe(
      'Host:h:8443\nPayload:p\nX-IotVideo-AccessID:a\nX-IotVideo-Nonce:1\nX-IotVideo-Timestamp:2',
    );
  });
});
