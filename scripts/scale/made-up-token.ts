import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { systemClock } from '../../src/token/clock.ts';
import type { SdkToken, TokenRecord } from '../../src/token/sdk-token.ts';
import { accessIdOf } from '../../test/support/filled-store.ts';

export const LIFE_MS = 30 * 86_400_000;

/** A token of 30 days in the shape of the vendor's. */
export function madeUpToken(unionId: string): SdkToken {
  const issuedAt = systemClock.now();
  const expiresAt = issuedAt + LIFE_MS;
  const fields = {
    accessId: accessIdOf(unionId),
    accessToken: randomBytes(64).toString('hex'),
    expireTime: String(Math.floor(expiresAt / 1_000)),
    terminalId: `-${randomInt(2 ** 47)}${randomInt(1_000, 10_000)}`,
    expand: '{"area":"de","regRegion":"DE"}',
    expend: '{"area":"de","regRegion":"DE"}',
  };
  return { fields, issuedAt, expiresAt };
}

/** The token of somebody new on a phone, which an app has read. */
export function madeUpRecord(): TokenRecord {
  const subject = { app: 'default', unionId: randomUUID(), uniqueId: randomUUID() };
  const token = madeUpToken(subject.unionId);
  return { subject, region: 'DE', token, generation: token.issuedAt, read: true, unreadRenewals: 0 };
}
