import { hash } from 'node:crypto';
import { ACCOUNT_FIELDS } from '../keys.ts';
import { pack, unpack } from './packing.ts';
import type { SealedText, TokenCipher } from './token-cipher.ts';

/** Which account has which accessId. */
export interface DirectoryEntry {
  readonly unionId: string;
  readonly accessId: string;
}

/** Bytes of an entry before what is sealed: the mark of its accessId once that leads to the account, till then zeros. */
export const MARK_LENGTH = 6;
const NO_MARK = Buffer.alloc(MARK_LENGTH);

/** The beginning of an accessId's digest. */
export function markOf(accessId: string): Buffer {
  return hash('sha256', accessId, 'buffer').subarray(0, MARK_LENGTH);
}

/** Directory entries, sealed and bound to the key of the account they belong to. */
export class DirectoryCodec {
  readonly #cipher: TokenCipher;

  constructor(cipher: TokenCipher) {
    this.#cipher = cipher;
  }

  /** What follows the mark in every entry that is sealed now. */
  get head(): Buffer {
    return this.#cipher.head;
  }

  /** Without its mark. */
  encode({ unionId, accessId }: DirectoryEntry, key: string): Buffer {
    return Buffer.concat([NO_MARK, this.#cipher.seal(pack([unionId, accessId]), Buffer.from(key))]);
  }

  sealedText(entry: Buffer, key: string): SealedText {
    const sealed = entry.subarray(MARK_LENGTH);
    return { key, field: ACCOUNT_FIELDS.directory, headLength: MARK_LENGTH, sealed, additionalData: Buffer.from(key) };
  }

  /** `undefined` where no key opens it. */
  decode(entry: Buffer | null | undefined, key: string): DirectoryEntry | undefined {
    const plain = entry && this.#cipher.open(entry.subarray(MARK_LENGTH), Buffer.from(key));
    const [unionId, accessId] = (plain && unpack(plain)) ?? [];
    return unionId !== undefined && accessId !== undefined ? { unionId, accessId } : undefined;
  }
}
