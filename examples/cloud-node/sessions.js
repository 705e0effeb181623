import { readFile, writeFile } from 'node:fs/promises';
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  exportJWK,
  exportPKCS8,
  generateKeyPair,
  importPKCS8,
  jwtVerify,
  SignJWT,
} from 'jose';

const ALGORITHM = 'ES256';
export const SESSION_SECONDS = 3_600;

/**
 * Sessions as signed JWTs. The key is in a file, so sessions survive a restart, and several processes can share it.
 * 会话是签名的 JWT。密钥在文件中，所以重启后会话仍有效，多个进程也可以共用。
 */
export class Sessions {
  #privateKey;
  #publicKey;
  #expected;

  static async open(keyFile, { issuer, audience }) {
    const sessions = new Sessions();
    sessions.#privateKey = await privateKeyIn(keyFile);
    const { d: _privatePart, ...jwk } = await exportJWK(sessions.#privateKey);
    sessions.#publicKey = { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: ALGORITHM, use: 'sig' };
    sessions.#expected = { issuer, audience };
    return sessions;
  }

  /** The public keys, for `SESSION_JWT_JWKS_URL` of the broker. */
  keys() {
    return { keys: [this.#publicKey] };
  }

  /** `iat` lets the broker refuse the sessions of a deleted account. 有了 iat，Broker 才能拒绝已注销账号的旧会话。 */
  issue({ unionId, country }) {
    const { issuer, audience } = this.#expected;
    return new SignJWT({ region: country })
      .setProtectedHeader({ alg: ALGORITHM, kid: this.#publicKey.kid })
      .setSubject(unionId)
      .setIssuer(issuer)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime(`${SESSION_SECONDS} seconds`)
      .sign(this.#privateKey);
  }

  /** Returns the claims of a valid session, else undefined. */
  async claimsOf(session) {
    const expected = { ...this.#expected, algorithms: [ALGORITHM] };
    const verified = await jwtVerify(session, createLocalJWKSet(this.keys()), expected).catch(() => undefined);
    return verified?.payload;
  }
}

async function privateKeyIn(keyFile) {
  const content = await readOrCreate(keyFile);
  try {
    return await importPKCS8(content, ALGORITHM, { extractable: true });
  } catch (cause) {
    // An earlier start may have ended before it wrote the key.
    const problem = content.trim() === '' ? 'is empty' : 'does not hold a private key in PEM';
    const fix = 'Restore it from a backup. If there is none, delete it: this ends all sessions';
    throw new Error(`The key file ${keyFile} ${problem}. ${fix}`, { cause });
  }
}

async function readOrCreate(keyFile) {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  try {
    // Fails if the file exists.
    await writeFile(keyFile, await exportPKCS8(privateKey), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  return readFile(keyFile, 'utf8');
}
