import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { Subject } from '../../../src/token/subject.ts';

const [ISSUER, AUDIENCE] = ['https://cloud.example', 'sdk-token-broker'];

/** Signs sessions like a customer cloud: JWTs (ES256) that are valid for one day. */
export class BenchSessions {
  readonly #privateKey: KeyObject;
  #issued = 0;
  /** Settings of a service that accepts these sessions. */
  readonly env: Readonly<Record<string, string>>;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#privateKey = privateKey;
    this.env = {
      SESSION_JWT_PUBLIC_KEY: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      SESSION_JWT_ALGORITHMS: 'ES256',
      SESSION_JWT_ISSUER: ISSUER,
      SESSION_JWT_AUDIENCE: AUDIENCE,
    };
  }

  /** Signs a new session. With jose's WebCrypto that takes three times as long. */
  of({ unionId: sub }: Subject): string {
    const iat = Math.floor(Date.now() / 1_000) - 1;
    this.#issued += 1;
    const claims = { iss: ISSUER, aud: AUDIENCE, sub, region: 'DE', jti: this.#issued, iat, exp: iat + 86_400 };
    const signed = `${base64url({ alg: 'ES256', typ: 'JWT' })}.${base64url(claims)}`;
    const signature = sign('sha256', Buffer.from(signed), { key: this.#privateKey, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }

  /** A line of a list of requests, with a new session. */
  requestOf(subject: Subject): string {
    return `${subject.uniqueId} ${this.of(subject)}\n`;
  }
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
