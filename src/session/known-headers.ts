import { constants, createHmac, createSecretKey, KeyObject, timingSafeEqual, verify } from 'node:crypto';
import { types } from 'node:util';

/** Checks a signature. */
type SignatureCheck = (signed: Buffer, signature: Buffer) => boolean;

interface KnownHeader {
  readonly isGenuine: SignatureCheck;
  /** The key set that the key was found in. */
  readonly keySet: object;
}

/** A compact JWS: three parts in base64url without padding (RFC 7515 §7.1). */
const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
/** A customer cloud needs one header per key, and a few keys. */
const MAX_HEADERS = 64;

/**
 * Verifies the signatures of JWTs at once, in this thread, if jose has accepted a JWT with the same protected header
 * before: byte for byte, and with a key that is still published. jose has then judged all that a header can say. jose
 * takes about three times as long, because it verifies in another thread (benchmark scenario `first`).
 *
 * It never refuses a JWT. The caller leaves to jose what it does not accept.
 */
export class KnownHeaders {
  readonly #headers = new Map<string, KnownHeader>();

  /**
   * Remembers the header of a JWT that jose has accepted.
   * @param algorithm the `alg` of the header
   * @param key the key that verified the signature. The algorithm is never used with another key
   * @param keySet the key set that holds the key
   */
  learn(jwt: string, algorithm: string, key: unknown, keySet: object): void {
    const keyObject = keyObjectOf(key);
    const isGenuine = keyObject && signatureCheck(algorithm, keyObject);
    if (!isGenuine) return;
    if (this.#headers.size >= MAX_HEADERS) this.#headers.clear();
    this.#headers.set(jwt.slice(0, jwt.indexOf('.')), { isGenuine, keySet });
  }

  /**
   * Returns the claims of a JWT with a known header and a genuine signature. Checks no claim.
   * @param keySet the key set that is valid now
   */
  claimsOf(jwt: string, keySet: object): Readonly<Record<string, unknown>> | undefined {
    const headerEnd = jwt.indexOf('.');
    const known = this.#headers.get(jwt.slice(0, headerEnd));
    if (known?.keySet !== keySet || !COMPACT_JWS.test(jwt)) return undefined;
    const payloadEnd = jwt.lastIndexOf('.');
    const signed = Buffer.from(jwt.slice(0, payloadEnd), 'latin1');
    const signature = Buffer.from(jwt.slice(payloadEnd + 1), 'base64url');
    return known.isGenuine(signed, signature) ? objectIn(jwt.slice(headerEnd + 1, payloadEnd)) : undefined;
  }
}

/** jose gives the key in the form that it verified with. */
function keyObjectOf(key: unknown): KeyObject | undefined {
  if (key instanceof Uint8Array) return createSecretKey(key);
  if (types.isCryptoKey(key)) return KeyObject.from(key);
  return key instanceof KeyObject ? key : undefined;
}

/** The check of an algorithm (RFC 7518 §3.1, RFC 8037 §3.1) with a key; `undefined` if the key is not of its type. */
export function signatureCheck(algorithm: string, key: KeyObject): SignatureCheck | undefined {
  const hash = `sha${algorithm.slice(2)}`;
  switch (`${algorithm.slice(0, 2)} ${key.asymmetricKeyType ?? key.type}`) {
    case 'ES ec':
      return (signed, signature) => verify(hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature);
    case 'RS rsa':
      return (signed, signature) => verify(hash, signed, key, signature);
    case 'PS rsa': {
      const pss = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
      return (signed, signature) => verify(hash, signed, pss, signature);
    }
    case 'Ed ed25519':
      return (signed, signature) => verify(null, signed, key, signature);
    case 'HS secret':
      return (signed, signature) => {
        const expected = createHmac(hash, key).update(signed).digest();
        return expected.length === signature.length && timingSafeEqual(expected, signature);
      };
    default:
      return undefined;
  }
}

function objectIn(base64url: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(base64url, 'base64url').toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
