import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { BenchSubject } from './subjects.ts';

const ISSUER = 'https://cloud.example';
const AUDIENCE = 'sdk-token-broker';
const LIFE_S = 24 * 3_600;

/** A customer cloud's key, and the sessions it signs: JWTs with ES256, good for a day. */
export class BenchSessions {
  readonly #privateKey: KeyObject;
  /** What a service that believes them is configured with. */
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
    // By Node's own crypto: jose's WebCrypto takes three times as long, and there are a hundred thousand of them.
    const signature = sign('sha256', Buffer.from(signed), { key: this.#privateKey, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

const HEADER = base64url({ alg: 'ES256', typ: 'JWT' });
