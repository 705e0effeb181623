import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { BenchSubject } from './subjects.ts';

const ISSUER = 'https://cloud.example';
const AUDIENCE = 'sdk-token-broker';
const LIFE_S = 24 * 3_600;

export type SessionAlgorithm = 'ES256' | 'RS256';

/** Signs sessions like a customer cloud: JWTs that are valid for one day. */
export class BenchSessions {
  readonly #algorithm: SessionAlgorithm;
  readonly #privateKey: KeyObject;
  #issued = 0;
  /** Settings of a service that accepts these sessions. */
  readonly env: Readonly<Record<string, string>>;

  constructor(algorithm: SessionAlgorithm = 'ES256') {
    const { privateKey, publicKey } =
      algorithm === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2_048 });
    this.#algorithm = algorithm;
    this.#privateKey = privateKey;
    this.env = {
      SESSION_JWT_PUBLIC_KEY: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      SESSION_JWT_ALGORITHMS: algorithm,
      SESSION_JWT_ISSUER: ISSUER,
      SESSION_JWT_AUDIENCE: AUDIENCE,
    };
  }

  /** Signs a new session. */
  of({ unionId }: BenchSubject): string {
    const iat = Math.floor(Date.now() / 1_000) - 1;
    this.#issued += 1;
    const claims = {
      iss: ISSUER,
      aud: AUDIENCE,
      sub: unionId,
      region: 'DE',
      jti: this.#issued,
      iat,
      exp: iat + LIFE_S,
    };
    const signed = `${base64url({ alg: this.#algorithm, typ: 'JWT' })}.${base64url(claims)}`;
    // The bench signs 100,000 sessions. Signing with jose's WebCrypto takes three times as long.
    const key = { key: this.#privateKey, dsaEncoding: 'ieee-p1363', padding: constants.RSA_PKCS1_PADDING } as const;
    const signature = sign('sha256', Buffer.from(signed), key);
    return `${signed}.${signature.toString('base64url')}`;
  }
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
