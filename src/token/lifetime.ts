import { hash } from 'node:crypto';
import type { SdkToken } from './sdk-token.ts';
import type { SubjectId } from './subject.ts';

type Life = Pick<SdkToken, 'issuedAt' | 'expiresAt'>;

/** The shares of a token's life between which it is renewed: `0 < from <= to < 1`. */
export interface RefreshShare {
  readonly from: number;
  readonly to: number;
}

/**
 * Epoch ms at which the token is due for renewal. Spread over `share` by a hash of subject and generation, so that
 * tokens issued together are not due together, and every replica computes the same instant. Never later than
 * {@link waitFrom}.
 */
export function renewAt(token: Life, share: RefreshShare, id: SubjectId, generation: number): number {
  const spread = hash('sha256', `${id}${generation}`, 'buffer').readUInt32BE() / 2 ** 32;
  return Math.min(token.issuedAt + lifeOf(token) * (share.from + (share.to - share.from) * spread), waitFrom(token));
}

/** Epoch ms from which a read waits for a renewal before it falls back on this token. */
export function waitFrom(token: Life): number {
  return token.expiresAt - Math.min(60_000, 0.1 * lifeOf(token));
}

/** Epoch ms up to which the token may be handed out; past it, never. */
export function servableUntil(token: Life): number {
  return token.expiresAt - Math.min(10_000, 0.05 * lifeOf(token));
}

function lifeOf(token: Life): number {
  return token.expiresAt - token.issuedAt;
}
