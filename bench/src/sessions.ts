import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { BenchSubject } from './subjects.ts';

const ISSUER = 'https://cloud.example';
const AUDIENCE = 'sdk-token-broker';
const LIFE_S = 24 * 3_600;

/** Signs sessions like a customer cloud: JWTs with ES256, valid for one day. */
export class BenchSessions {
  readonly #privateKey: KeyObject;
  /** Settings of a service that accepts these sessions. */
  readonly env: Readonly<Record<string, string>>;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    this.#privateKey = createPrivateKey(privateKey);
    this.env = {
      SESSION_JWT_PUBLIC_KEY: publicKey,
      SESSION_JWT_ISSUER: ISSUER,
      SESSION_JWT_AUDIENCE: AUDIENCE,
    };
  }

  of({ unionId }: BenchSubject): string {
    const iat = Math.floor(Date.now() / 1_000) - 1;
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: unionId, region: 'DE', iat, exp: iat + LIFE_S };
    const signed = `${HEADER}.${base64url(claims)}`;
    // The bench signs 100,000 sessions. Signing with jose's WebCrypto takes three times as long.
    const signature = sign('sha256', Buffer.from(signed), { key: this.#privateKey, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

const HEADER = base64url({ alg: 'ES256', typ: 'JWT' });
