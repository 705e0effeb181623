import { createHmac, createSecretKey, hkdfSync, timingSafeEqual } from 'node:crypto';
import { open, seal } from '../../../token/aes-gcm.ts';

export interface EncryptionKey {
  /** 1 to 32 visible ASCII characters. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** A hash field in Redis that holds a sealed text. */
export interface SealedField {
  readonly key: string;
  readonly field: string;
  /** Number of plain bytes in front of the sealed text. */
  readonly headLength: number;
  readonly sealed: Buffer;
  readonly additionalData: Buffer;
}

function ringOf(keys: readonly EncryptionKey[]) {
  const currentId = keys[0]?.id;
  return {
    keys: new Map(keys.map(({ id, key }) => [id, createSecretKey(key)])),
    currentId,
    /** Sign texts that everyone may read. */
    signing: keys.map(({ key }) => Buffer.from(hkdfSync('sha256', key, '', 'summaries of replicas', 32))),
    /** The first bytes of every text that is sealed now. */
    head: Buffer.from(`${String.fromCharCode(currentId?.length ?? 0)}${currentId ?? ''}`),
  };
}

/**
 * AES-256-GCM with a ring of keys: the first key encrypts, all keys decrypt. A sealed text is the length of the key id,
 * the key id, IV, ciphertext and tag; without keys, a zero byte and the plain text. It opens only with the same
 * additional data, which bind it to its place.
 */
export class TokenCipher {
  #ring: ReturnType<typeof ringOf>;

  constructor(keys: readonly EncryptionKey[]) {
    this.#ring = ringOf(keys);
  }

  /** Uses these keys instead of the former ones from now on. */
  useKeys(keys: readonly EncryptionKey[]): void {
    this.#ring = ringOf(keys);
  }

  /** Whether the text names the first key of the ring; without keys, whether it is in the clear. */
  isCurrent(sealed: Buffer): boolean {
    return keyIdOf(sealed) === this.#ring.currentId;
  }

  /** Why `open` gives nothing. It contains no secret. */
  whyUnreadable(sealed: Buffer): string {
    const id = keyIdOf(sealed);
    if (id === undefined) return 'in the clear';
    if (this.#ring.keys.has(id)) return `damaged, or sealed under another key that was called ${id}`;
    return isKeyId(id) ? `sealed under key ${id}, which is not among them` : 'damaged';
  }

  seal(plain: Buffer, additionalData: Buffer): Buffer {
    const { keys, currentId, head } = this.#ring;
    const key = keys.get(currentId ?? '');
    return key ? seal(key, plain, additionalData, head) : Buffer.concat([head, plain]);
  }

  /** The plain text; `undefined` when no key of the ring opens it, or when it was changed. */
  open(sealed: Buffer, additionalData: Buffer): Buffer | undefined {
    const keyId = keyIdOf(sealed);
    const { keys, currentId } = this.#ring;
    if (keyId === undefined) return currentId === undefined ? sealed.subarray(1) : undefined;
    const key = keys.get(keyId);
    return key && open(key, sealed.subarray(1 + keyId.length), additionalData);
  }

  /** A signature of a text in the clear, with the first key. Without keys: ''. */
  signature(text: string): string {
    const [key] = this.#ring.signing;
    return key ? signed(text, key).toString('base64url') : '';
  }

  /** Whether one of the keys has signed the text. Without keys, every text counts. */
  hasSigned(text: string, signature: string): boolean {
    const { signing } = this.#ring;
    const given = Buffer.from(signature, 'base64url');
    return (
      signing.length === 0 || signing.some((key) => given.length === 32 && timingSafeEqual(given, signed(text, key)))
    );
  }
}

function signed(text: string, key: Buffer): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** The id of the key that a text names; `undefined` when it is in the clear. */
export function keyIdOf(sealed: Buffer): string | undefined {
  const length = sealed[0] ?? 0;
  return length === 0 ? undefined : sealed.toString('latin1', 1, 1 + length);
}

/** Whether a text can be the id of a key: anyone with access to Redis may have written any bytes there. */
export function isKeyId(id: string): boolean {
  return /^[\x21-\x7e]{1,32}$/.test(id);
}
