import type { RedisLink } from '../connection/commands.ts';
import type { SealedText, TokenCipher } from './token-cipher.ts';

/** More than these under way are left for the next time they are read. */
const MOST_AT_A_TIME = 64;

/** Seals anew, under the current key, what is read and was sealed under an older one. */
export class Resealing {
  readonly #redis: Pick<RedisLink, 'script'>;
  readonly #cipher: TokenCipher;
  #underWay = 0;

  constructor(redis: Pick<RedisLink, 'script'>, cipher: TokenCipher) {
    this.#redis = redis;
    this.#cipher = cipher;
  }

  /** Sees to it in the background: whoever reads does not wait, and what fails is read again some time. */
  later(text: SealedText | undefined): void {
    if (!text || this.#cipher.isCurrent(text.sealed) || this.#underWay >= MOST_AT_A_TIME) return;
    const resealed = this.#cipher.reseal(text);
    if (!resealed) return;
    this.#underWay += 1;
    this.#redis
      .script(...resealScript(text, resealed))
      .catch(() => undefined)
      .finally(() => {
        this.#underWay -= 1;
      });
  }
}

/** The script that puts `resealed` in the place of the text, if that still stands there: what to run, with what. */
export function resealScript(
  { key, field, headLength, sealed }: SealedText,
  resealed: Buffer,
): Parameters<RedisLink['script']> {
  return ['resealField', [key], [field, headLength, sealed, resealed]];
}
