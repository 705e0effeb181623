import { type CipherKey, createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
const IV_LENGTH = 12;
const TAG_LENGTH = 16;

/** Returns `head`, IV, ciphertext and tag. The text opens only with the same additional data. */
export function seal(key: CipherKey, plain: Buffer, additionalData: Buffer, head = Buffer.of()): Buffer {
  const iv = randomBytes(IV_LENGTH);
  const cipher = createCipheriv(ALGORITHM, key, iv).setAAD(additionalData);
  return Buffer.concat([head, iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** @param sealed without the head @returns `undefined` if the key does not open it, or if it was changed */
export function open(key: CipherKey, sealed: Buffer, additionalData: Buffer): Buffer | undefined {
  if (sealed.length < IV_LENGTH + TAG_LENGTH) return undefined;
  // The option `authTagLength` would refuse a shorter tag, which there is not, and takes a fifth of the time.
  const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, IV_LENGTH))
    .setAAD(additionalData)
    .setAuthTag(sealed.subarray(-TAG_LENGTH));
  try {
    const plain = decipher.update(sealed.subarray(IV_LENGTH, -TAG_LENGTH));
    // Returns no bytes in this mode, but throws when the tag is wrong.
    decipher.final();
    return plain;
  } catch {
    return undefined;
  }
}
