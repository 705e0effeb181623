import { pack, unpack } from './packing.ts';
import type { SealedText, TokenCipher } from './token-cipher.ts';

/** Which account has which accessId. */
export interface DirectoryEntry {
  readonly unionId: string;
  readonly accessId: string;
}

/** Directory entries, sealed and bound to the key they are stored at. */
export class DirectoryCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  encode({ unionId, accessId }: DirectoryEntry, key: string): Buffer {
    return this.#cipher.seal(pack([unionId, accessId]), Buffer.from(key));
  }

  /** @param field under which an account holds it; `undefined`: it lies at a key of its own */
  sealedText(sealed: Buffer, key: string, field?: string): SealedText {
    return { key, field, headLength: 0, sealed, additionalData: Buffer.from(key) };
  }

  /** `undefined` where no key opens it. */
  decode(sealed: Buffer | null | undefined, key: string): DirectoryEntry | undefined {
    const plain = sealed && this.#cipher.open(sealed, Buffer.from(key));
    const [unionId, accessId] = (plain && unpack(plain)) ?? [];
    return unionId !== undefined && accessId !== undefined ? { unionId, accessId } : undefined;
  }
}
