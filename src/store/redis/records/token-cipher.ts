import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';

export interface EncryptionKey {
  /** 1 to 32 visible ASCII characters. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** A sealed text as it lies in Redis. */
export interface SealedText {
  /** The hash it lies in, and its field there. */
  readonly key: string;
  readonly field: string;
  /** How many bytes stand before it in the clear. */
  readonly headLength: number;
  readonly sealed: Buffer;
  /** What it is bound to: it opens only with the same. */
  readonly additionalData: Buffer;
}

const ALGORITHM = 'aes-256-gcm';
const IV_LENGTH = 12;
const TAG_LENGTH = 16;

/**
 * AES-256-GCM under a ring of keys: the first encrypts, all decrypt. A sealed text is key id length, key id, IV, cipher
 * text, tag. Without keys it is a zero byte and the plain text.
 */
export class TokenCipher {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #currentId: string | undefined;
  /** What every text begins with that is sealed now. */
  readonly head: Buffer;

  constructor(keys: readonly EncryptionKey[]) {
    this.#currentId = keys[0]?.id;
    this.#keys = new Map(keys.map(({ id, key }) => [id, createSecretKey(key)]));
    this.head = Buffer.from(`${String.fromCharCode(this.#currentId?.length ?? 0)}${this.#currentId ?? ''}`);
  }

  /** Whether the key that seals now sealed it, by the key's id; without keys, whether it is in the clear. */
  isCurrent(sealed: Buffer): boolean {
    return keyIdOf(sealed) === this.#currentId;
  }

  /** The same text, sealed anew; `undefined` where no key of the ring opens it. */
  reseal({ sealed, additionalData }: SealedText): Buffer | undefined {
    const plain = this.open(sealed, additionalData);
    return plain && this.seal(plain, additionalData);
  }

  /** @param additionalData what the text is bound to: it opens only with the same */
  seal(plain: Buffer, additionalData: Buffer): Buffer {
    const key = this.#keys.get(this.#currentId ?? '');
    if (!key) return Buffer.concat([this.head, plain]);
    const iv = randomBytes(IV_LENGTH);
    const cipher = createCipheriv(ALGORITHM, key, iv).setAAD(additionalData);
    return Buffer.concat([this.head, iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** The plain text; `undefined` where no key of the ring opens it or it was tampered with. */
  open(sealed: Buffer, additionalData: Buffer): Buffer | undefined {
    const keyId = keyIdOf(sealed);
    if (keyId === undefined) return this.#currentId === undefined ? sealed.subarray(1) : undefined;
    const body = 1 + keyId.length;
    const key = this.#keys.get(keyId);
    if (!key || sealed.length < body + IV_LENGTH + TAG_LENGTH) return undefined;
    const iv = sealed.subarray(body, body + IV_LENGTH);
    const decipher = createDecipheriv(ALGORITHM, key, iv, { authTagLength: TAG_LENGTH })
      .setAAD(additionalData)
      .setAuthTag(sealed.subarray(-TAG_LENGTH));
    try {
      const plain = decipher.update(sealed.subarray(body + IV_LENGTH, -TAG_LENGTH));
      // Adds nothing in this mode, but throws where the tag is wrong.
      decipher.final();
      return plain;
    } catch {
      return undefined;
    }
  }
}

/** Whether a text was sealed without a key. */
export function isInTheClear(sealed: Buffer): boolean {
  return sealed[0] === 0;
}

/** The id of the key a text says it was sealed with; `undefined`: it is in the clear. */
export function keyIdOf(sealed: Buffer): string | undefined {
  const length = sealed[0] ?? 0;
  return length === 0 ? undefined : sealed.toString('latin1', 1, 1 + length);
}
