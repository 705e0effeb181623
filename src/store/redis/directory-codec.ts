import { ACCOUNT_FIELDS } from './keys.ts';
import { pack, unpack } from './packing.ts';
import type { SealedText, TokenCipher } from './token-cipher.ts';

/** Which account has which accessId. */
export interface DirectoryEntry {
  readonly unionId: string;
  readonly accessId: string;
}

/** Directory entries, sealed and bound to the key of the account they belong to. */
export class DirectoryCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  /** What every entry begins with that is sealed now. */
  get head(): Buffer {
    return this.#cipher.head;
  }

  encode({ unionId, accessId }: DirectoryEntry, key: string): Buffer {
    return this.#cipher.seal(pack([unionId, accessId]), Buffer.from(key));
  }

  sealedText(sealed: Buffer, key: string): SealedText {
    return { key, field: ACCOUNT_FIELDS.directory, headLength: 0, sealed, additionalData: Buffer.from(key) };
  }

  /** `undefined` where no key opens it. */
  decode(sealed: Buffer | null | undefined, key: string): DirectoryEntry | undefined {
    const plain = sealed && this.#cipher.open(sealed, Buffer.from(key));
    const [unionId, accessId] = (plain && unpack(plain)) ?? [];
    return unionId !== undefined && accessId !== undefined ? { unionId, accessId } : undefined;
  }
}
