import { constants, createHmac, createPublicKey, type KeyObject, timingSafeEqual, verify } from 'node:crypto';
import type { JSONWebKeySet, JWK } from 'jose';

/** Checks the signature of a text in ASCII. */
type SignatureCheck = (signed: string, signature: Buffer) => boolean;

export interface KeySet {
  /** Returns the keys that may have signed a session with this header parameter `kid`. */
  readonly keysFor: (kid: unknown) => readonly KeyObject[];
}

/** The public keys of a JWK Set. As in jose, a session without `kid` may be signed with any of them. */
export function keysIn({ keys }: JSONWebKeySet): KeySet['keysFor'] {
  return (kid) => keys.filter((jwk) => typeof kid !== 'string' || jwk.kid === kid).flatMap(publicKeyIn);
}

/** An empty list if Node cannot use the JWK as a public key. */
function publicKeyIn(jwk: JWK): KeyObject[] {
  try {
    return [createPublicKey({ key: jwk, format: 'jwk' })];
  } catch {
    return [];
  }
}

interface KnownHeader {
  readonly isGenuine: SignatureCheck;
  /** Whether no other key of the set may have signed such a JWT. */
  readonly isOnlyKey: boolean;
  /** The key set that the key was found in. */
  readonly keySet: KeySet;
}

/** A compact JWS (RFC 7515 §7.1) in base64url: the signed part, which is header and payload, and the signature. */
const COMPACT_JWS = /^(([\w-]+)\.([\w-]+))\.([\w-]+)$/;
/** A customer cloud needs one header per key, and a few keys. */
const MAX_HEADERS = 64;

/**
 * Verifies the signatures of JWTs at once, in this thread, if jose has accepted a JWT with the same protected header
 * before: byte for byte, and with a key that is still published. jose has then judged all that a header can say. jose
 * takes about three times as long, because it verifies in another thread (benchmark scenario `first`).
 *
 * It refuses no JWT except one whose signature does not fit the only key that may have made it. The caller judges the
 * claims, and leaves to jose all other JWTs.
 */
export function createKnownHeaders() {
  const headers = new Map<string, KnownHeader>();
  return { learn, payloadOf };

  /**
   * Remembers the header of a JWT that jose has accepted with a key of `keySet`, and the key that its signature fits.
   * The algorithm is never used with another key.
   */
  function learn(jwt: string, { alg, kid }: { readonly alg: string; readonly kid?: unknown }, keySet: KeySet): void {
    const { header, signed, signature } = partsOf(jwt);
    const checks = keySet.keysFor(kid).flatMap((key) => signatureCheck(alg, key) ?? []);
    const isGenuine = checks.find((check) => check(signed, signature));
    if (!isGenuine) return;
    if (headers.size >= MAX_HEADERS) headers.clear();
    headers.set(header, { isGenuine, isOnlyKey: keySet.keysFor(kid).length === 1, keySet });
  }

  /** Returns the unread payload if header and signature are known and genuine; `forged`: jose would refuse it too. */
  function payloadOf(jwt: string, keySet: KeySet): Buffer | 'forged' | undefined {
    const { header, payload, signed, signature } = partsOf(jwt);
    const known = headers.get(header);
    if (known?.keySet !== keySet) return undefined;
    if (known.isGenuine(signed, signature)) return Buffer.from(payload, 'base64url');
    return known.isOnlyKey ? 'forged' : undefined;
  }
}

/** Empty parts if the text is not a compact JWS. */
function partsOf(jwt: string) {
  const [, signed = '', header = '', payload = '', signature = ''] = COMPACT_JWS.exec(jwt) ?? [];
  return { header, payload, signed, signature: Buffer.from(signature, 'base64url') };
}

/** Length of r and s together (RFC 7518 §3.4). Signatures of ES384 and ES512 are longer, and slow to verify. */
const ES256_BYTES = 64;

/** RSA keys up to this length and exponent are quick to verify with. Nearly all have the exponent 65,537. */
const QUICK_RSA_BITS = 2048;
const QUICK_RSA_EXPONENT = 2n ** 32n;

type VerifyKey = Parameters<typeof verify>[2];

/**
 * The check of an algorithm (RFC 7518 §3.1, RFC 8037 §3.1) with a key; `undefined` if the key is not of its type, or if
 * it would take this thread more than about 0.1 ms (docs/security.md has the figures). Such a check would stop all
 * callers: a forged signature costs as much as a genuine one.
 */
export function signatureCheck(algorithm: string, key: KeyObject): SignatureCheck | undefined {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength > QUICK_RSA_BITS || publicExponent > QUICK_RSA_EXPONENT) return undefined;
  const hash = `sha${algorithm.slice(2)}`;
  const check = (digest: string | null, signed: string, by: VerifyKey, signature: Buffer) =>
    verify(digest, Buffer.from(signed), by, signature);
  switch (`${algorithm.slice(0, 2)} ${key.asymmetricKeyType ?? key.type}`) {
    case 'ES ec':
      if (algorithm !== 'ES256') return undefined;
      // With an option beside the key, Node 24 creates two errors in each call, which takes 15 % of a first read.
      // If Node ignored it here, no header would be learned, and jose would check each session.
      Object.assign(key, { dsaEncoding: 'ieee-p1363' });
      return (signed, signature) => signature.length === ES256_BYTES && check(hash, signed, key, signature);
    case 'RS rsa':
      return (signed, signature) => check(hash, signed, key, signature);
    case 'PS rsa': {
      const pss = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
      return (signed, signature) => check(hash, signed, pss, signature);
    }
    case 'Ed ed25519':
      return (signed, signature) => check(null, signed, key, signature);
    case 'HS secret':
      return (signed, signature) => {
        const expected = createHmac(hash, key).update(signed).digest();
        return expected.length === signature.length && timingSafeEqual(expected, signature);
      };
    default:
      return undefined;
  }
}
