import { randomBytes, randomInt } from 'node:crypto';
import type { SdkToken, TokenRecord } from '../../src/token/sdk-token.ts';
import type { Subject } from '../../src/token/subject.ts';

export const LIFE_MS = 30 * 86_400_000;

/** A random token, issued now and valid for 30 days. Its fields have the size and shape of the vendor's fields. */
export function madeUpToken(accessId: string = randomId()): SdkToken {
  const issuedAt = Date.now();
  const expiresAt = issuedAt + LIFE_MS;
  const fields = {
    accessId,
    accessToken: randomBytes(64).toString('hex'),
    expireTime: String(Math.floor(expiresAt / 1_000)),
    terminalId: randomId(),
    expand: '{"area":"de","regRegion":"DE"}',
    expend: '{"area":"de","regRegion":"DE"}',
  };
  return { fields, issuedAt, expiresAt };
}

/** The stored record of a token that an app has read. */
export function madeUpRecord(subject: Subject, token: SdkToken = madeUpToken()): TokenRecord {
  const { issuedAt } = token;
  return {
    subject,
    region: 'DE',
    token,
    generation: issuedAt,
    answeredAt: issuedAt,
    read: true,
    unreadRenewals: 0,
    suspect: false,
  };
}

function randomId(): string {
  return `-${randomInt(2 ** 47)}${randomInt(10_000)}`;
}
