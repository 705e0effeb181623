import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  SignJWT,
} from 'jose';

interface SessionKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly published: JWK;
}

/** The keys a customer cloud signs sessions with: the newest signs, all are published until retired. */
export class SessionKeys {
  #keys: readonly SessionKey[] = [];

  /** Adds a key and signs with it from now on. */
  async rotate(): Promise<void> {
    this.#keys = [await newKey(), ...this.#keys];
  }

  /** Publishes none but the newest. */
  retireOld(): void {
    this.#keys = this.#keys.slice(0, 1);
  }

  /** RFC 7517 §5. */
  published(): { keys: JWK[] } {
    return { keys: this.#keys.map((key) => key.published) };
  }

  async sign(claims: JWTPayload): Promise<string> {
    const [key] = this.#keys;
    if (key === undefined) throw new Error('rotate() makes the first key');
    return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: key.kid }).sign(key.privateKey);
  }
}

async function newKey(): Promise<SessionKey> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, privateKey, published: { ...jwk, kid, alg: 'ES256', use: 'sig' } };
}
