import { ACCOUNT_FIELDS } from '../keys.ts';
import { pack, unpack } from './packing.ts';
import type { SealedText, TokenCipher } from './token-cipher.ts';

/** Which account has which accessId. */
export interface DirectoryEntry {
  readonly unionId: string;
  readonly accessId: string;
}

/** Zero bytes in front of the sealed entry. Version 0.1.0 kept a mark there; nothing reads it. */
export const RESERVED_LENGTH = 6;

/** Directory entries, sealed and bound to the key of the account they belong to. */
export class DirectoryCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  encode({ unionId, accessId }: DirectoryEntry, key: string): Buffer {
    return Buffer.concat([
      Buffer.alloc(RESERVED_LENGTH),
      this.#cipher.seal(pack([unionId, accessId]), Buffer.from(key)),
    ]);
  }

  sealedText(entry: Buffer, key: string): SealedText {
    const sealed = entry.subarray(RESERVED_LENGTH);
    return {
      key,
      field: ACCOUNT_FIELDS.directory,
      headLength: RESERVED_LENGTH,
      sealed,
      additionalData: Buffer.from(key),
    };
  }

  /** `undefined` where no key opens it. */
  decode(entry: Buffer | null | undefined, key: string): DirectoryEntry | undefined {
    const plain = entry && this.#cipher.open(entry.subarray(RESERVED_LENGTH), Buffer.from(key));
    const [unionId, accessId] = (plain && unpack(plain)) ?? [];
    return unionId !== undefined && accessId !== undefined ? { unionId, accessId } : undefined;
  }
}
