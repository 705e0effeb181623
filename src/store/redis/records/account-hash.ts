import { pack, unpack } from './packing.ts';
import type { SealedField, TokenCipher } from './token-cipher.ts';

/** The fields of an account's hash beside its records. The field of a record is the terminal's digest, which is longer. */
export const ACCOUNT_FIELDS = {
  /** The pinned country. */
  region: 'r',
  /** unionId and accessId, sealed. */
  directory: 'd',
  /** Epoch ms of the last erasure. */
  erasedAt: 'e',
} as const;

/** The accessId of an account. The entry outlives the account's tokens. */
export interface DirectoryEntry {
  readonly unionId: string;
  readonly accessId: string;
}

/** Number of bytes in front of the sealed entry. They are zero; an earlier version kept a mark there. */
export const RESERVED_LENGTH = 6;

/** Directory entries, sealed and bound to the key of their account. */
export class DirectoryCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  encode({ unionId, accessId }: DirectoryEntry, key: string): Buffer {
    const sealed = this.#cipher.seal(pack([unionId, accessId]), Buffer.from(key));
    return Buffer.concat([Buffer.alloc(RESERVED_LENGTH), sealed]);
  }

  sealedField(entry: Buffer, key: string): SealedField {
    const sealed = entry.subarray(RESERVED_LENGTH);
    const field = ACCOUNT_FIELDS.directory;
    return { key, field, headLength: RESERVED_LENGTH, sealed, additionalData: Buffer.from(key) };
  }

  /** `undefined` when no key opens the entry. */
  decode(entry: Buffer | null | undefined, key: string): DirectoryEntry | undefined {
    const plain = entry && this.#cipher.open(entry.subarray(RESERVED_LENGTH), Buffer.from(key));
    const [unionId, accessId] = (plain && unpack(plain)) ?? [];
    return unionId !== undefined && accessId !== undefined ? { unionId, accessId } : undefined;
  }
}
