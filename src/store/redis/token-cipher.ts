import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

export interface EncryptionKey {
  /** 1 to 32 visible ASCII characters. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

const ALGORITHM = 'aes-256-gcm';
const IV_LENGTH = 12;
const TAG_LENGTH = 16;

/**
 * AES-256-GCM under a ring of keys: the first encrypts, all decrypt. A sealed text is key id length, key id, IV, cipher
 * text, tag. Without keys it is a zero byte and the plain text.
 */
export class TokenCipher {
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #current: EncryptionKey | undefined;

  constructor(keys: readonly EncryptionKey[]) {
    this.#current = keys[0];
    this.#keys = new Map(keys.map(({ id, key }) => [id, key]));
  }

  /** @param additionalData what the text is bound to: it opens only with the same */
  seal(plain: Buffer, additionalData: Buffer): Buffer {
    if (!this.#current) return Buffer.concat([Buffer.of(0), plain]);
    const id = Buffer.from(this.#current.id);
    const iv = randomBytes(IV_LENGTH);
    const cipher = createCipheriv(ALGORITHM, this.#current.key, iv).setAAD(additionalData);
    return Buffer.concat([Buffer.of(id.length), id, iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** The plain text; `undefined` where no key of the ring opens it or it was tampered with. */
  open(sealed: Buffer, additionalData: Buffer): Buffer | undefined {
    const idLength = sealed[0] ?? 0;
    if (idLength === 0) return this.#current ? undefined : sealed.subarray(1);
    const body = 1 + idLength;
    const key = this.#keys.get(sealed.toString('latin1', 1, body));
    if (!key || sealed.length < body + IV_LENGTH + TAG_LENGTH) return undefined;
    const iv = sealed.subarray(body, body + IV_LENGTH);
    const decipher = createDecipheriv(ALGORITHM, key, iv, { authTagLength: TAG_LENGTH })
      .setAAD(additionalData)
      .setAuthTag(sealed.subarray(-TAG_LENGTH));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(body + IV_LENGTH, -TAG_LENGTH)), decipher.final()]);
    } catch {
      return undefined;
    }
  }
}
