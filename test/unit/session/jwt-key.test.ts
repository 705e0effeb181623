import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { expectRefused, jwtVerifier, newSigner, pemOf, sharedSigner, signWithSecret } from './sessions.ts';

const SECRET = 'a-secret-of-just-32-bytes-length';

describe('the verifier does not accept', () => {
  it('a secret shorter than 32 bytes', () => {
    expect(() => jwtVerifier({ secret: SECRET.slice(1) })).toThrow('at least 32 bytes');
    expect(() => jwtVerifier({ secret: 'ä'.repeat(16) })).not.toThrow();
  });

  it('a text that is not a public key in PEM', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const privatePem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const broken = '-----BEGIN PUBLIC KEY-----\nbm90IGEga2V5\n-----END PUBLIC KEY-----\n';
    for (const publicKeyPem of ['', 'key', privatePem, broken]) {
      expect(() => jwtVerifier({ publicKeyPem })).toThrow('must be a PEM that starts with -----BEGIN PUBLIC KEY-----');
    }
  });

  it('anything before the PEM except line breaks', () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    expect(() => jwtVerifier({ publicKeyPem: `\n${pem}` })).not.toThrow();
    expect(() => jwtVerifier({ publicKeyPem: `x${pem}` })).toThrow('must be a PEM that starts with');
  });

  it('a public key that is too weak or of an unsupported type', () => {
    const weak = [
      generateKeyPairSync('rsa', { modulusLength: 1_024 }),
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
      generateKeyPairSync('x25519'),
      generateKeyPairSync('rsa-pss', { modulusLength: 2_048 }),
    ];
    for (const { publicKey } of weak) {
      const publicKeyPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
      expect(() => jwtVerifier({ publicKeyPem })).toThrow('RSA of at least 2048 bits');
    }
  });
});

describe('two keys, while the customer cloud replaces one', () => {
  const OTHER_SECRET = 'another-secret-of-about-the-same-length';

  it.each(['\n', '\r\n'])('two secrets verify sessions of both, in turn, and of no other secret', async (lineBreak) => {
    const verifier = jwtVerifier({ secret: `${SECRET}${lineBreak}${OTHER_SECRET}` });
    for (let round = 0; round < 3; round += 1) {
      for (const secret of [SECRET, OTHER_SECRET]) await verifier.verify(await signWithSecret(secret));
      await expectRefused(verifier, await signWithSecret(`${SECRET}${OTHER_SECRET}`), 'session_invalid');
    }
  });

  it.each([
    ['of one type', 'ES256', 'ES256'],
    ['of different types', 'RS256', 'ES384'],
  ])('two public keys %s verify sessions of both, in turn, and of no other key', async (_, one, other) => {
    const signers = [await sharedSigner(one), await newSigner(other)];
    const strangers = [await newSigner(one), await newSigner(other)];
    const verifier = jwtVerifier({ publicKeyPem: signers.map(pemOf).join('') });
    for (let round = 0; round < 3; round += 1) {
      for (const signer of signers) await verifier.verify(await signer.sign());
      for (const stranger of strangers) await expectRefused(verifier, await stranger.sign(), 'session_invalid');
    }
  });

  it('each must be strong enough, and a third one is refused', async () => {
    const pem = pemOf(await newSigner('ES256'));
    expect(() => jwtVerifier({ secret: `${SECRET}\nshort` })).toThrow('at least 32 bytes');
    expect(() => jwtVerifier({ secret: `${SECRET}\n\n${OTHER_SECRET}` })).toThrow('at least 32 bytes');
    expect(() => jwtVerifier({ publicKeyPem: `${pem}x${pem}` })).toThrow('must be a PEM that starts with');
    expect(() => jwtVerifier({ secret: [SECRET, SECRET, OTHER_SECRET].join('\n') })).toThrow('at most 2 keys');
    expect(() => jwtVerifier({ publicKeyPem: pem.repeat(3) })).toThrow('at most 2 keys');
  });
});
