import { createPublicKey } from 'node:crypto';
import { inspect } from 'node:util';
import { CompactSign, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { expect } from 'vitest';
import type { ClaimNames } from '../../../src/session/claims.ts';
import { createJwtVerifier, type JwtVerifierOptions } from '../../../src/session/jwt-verifier.ts';
import type { JwtKey } from '../../../src/session/verification-key.ts';
import { BrokerError, type ErrorCode } from '../../../src/token/errors.ts';
import type { Principal, SessionVerifier } from '../../../src/token/principal.ts';
import { START_MS, TestClock } from '../../support/test-clock.ts';

export const START_SECONDS = START_MS / 1_000;
export const ISSUER = 'https://accounts.customer.example';
export const AUDIENCE = 'camera-app';
export const ACCOUNT = 'account-of-somebody';
export const SECRET = 'a-secret-of-at-least-32-bytes-for-hs256';

export const CLAIM_NAMES: ClaimNames = {
  unionId: 'sub',
  region: 'region',
  app: undefined,
  issuedAt: 'iat',
  expiresAt: 'exp',
  timeUnit: 's',
};

/** The claims of a session, and the principal in them. */
export const CLAIMS = { sub: ACCOUNT, region: 'de', iat: START_SECONDS - 5, exp: START_SECONDS + 90 };
export const PRINCIPAL: Principal = {
  unionId: ACCOUNT,
  region: 'DE',
  app: undefined,
  issuedAt: START_MS - 5_000,
  expiresAt: START_MS + 90_000,
};

/** A verifier of JWTs with this key. */
export function jwtVerifier(
  key: JwtKey,
  clock = new TestClock(),
  more: Partial<JwtVerifierOptions> = {},
): SessionVerifier {
  return createJwtVerifier({ key, issuer: ISSUER, audience: AUDIENCE, claims: CLAIM_NAMES, clock, ...more });
}

export interface Signer {
  readonly jwk: JWK;
  sign(claims?: Record<string, unknown>): Promise<string>;
}

interface ByteSigner extends Signer {
  /** Signs these bytes as they are. */
  signBytes(payload: Uint8Array): Promise<string>;
}

/** The public key of a signer. */
export function pemOf(signer: Signer): string {
  return createPublicKey({ key: { ...signer.jwk }, format: 'jwk' })
    .export({ type: 'spki', format: 'pem' })
    .toString();
}

/** The claims of a session; `undefined` removes a claim. */
export function claimsWith(claims: Record<string, unknown> = {}): Record<string, unknown> {
  return { iss: ISSUER, aud: AUDIENCE, sub: ACCOUNT, exp: START_SECONDS + 60, ...claims };
}

export async function newSigner(alg: string, kid?: string): Promise<ByteSigner> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const header = kid === undefined ? { alg } : { alg, kid };
  return {
    jwk: { ...(await exportJWK(publicKey)), ...header },
    sign: (claims) => new SignJWT(claimsWith(claims)).setProtectedHeader(header).sign(privateKey),
    signBytes: (payload) => new CompactSign(payload).setProtectedHeader(header).sign(privateKey),
  };
}

const signers = new Map<string, Promise<ByteSigner>>();

/** A signer that all tests share: a key for each algorithm. An RSA key takes long to make. */
export function sharedSigner(alg: string): Promise<ByteSigner> {
  const signer = signers.get(alg) ?? newSigner(alg);
  signers.set(alg, signer);
  return signer;
}

export function signWithSecret(
  secret = SECRET,
  alg = 'HS256',
  header: Record<string, unknown> = {},
  claims = claimsWith(),
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, ...header }).sign(new TextEncoder().encode(secret));
}

export function unsigned(header: Record<string, unknown>, signature = ''): string {
  return `${base64url(header)}.${base64url(claimsWith())}.${signature}`;
}

/** Expects that the verifier throws this error, and that the error shows nothing of the session. */
export async function expectRefused(verifier: SessionVerifier, session: string, code: ErrorCode): Promise<BrokerError> {
  const error = await Promise.resolve(verifier.verify(session)).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof BrokerError))
    throw new Error('the session was not refused with a BrokerError', { cause: error });
  expect(error.code).toBe(code);
  for (const part of partsOf(session)) expect(shownBy(error)).not.toContain(part);
  return error;
}

/** Everything that a log could show of an error. */
export function shownBy(error: BrokerError): string {
  return `${error.message}\n${error.detail}\n${inspect({ ...error, cause: error.cause }, { depth: 10 })}`;
}

function base64url(json: unknown): string {
  return Buffer.from(JSON.stringify(json)).toString('base64url');
}

/** The parts by which a log line would reveal a session: its segments, and the longer strings in its claims. */
function partsOf(session: string): string[] {
  const segments = session.split('.');
  const claims = Buffer.from(segments[1] ?? '', 'base64url').toString();
  const strings = [...claims.matchAll(/"([^"]{6,})"(?!:)/g)].map((match) => match[1] ?? '');
  return [...segments.map((segment) => segment.slice(0, 64)).filter((segment) => segment.length >= 12), ...strings];
}
