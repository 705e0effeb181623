import type { TokenRecord } from '../../../src/token/sdk-token.ts';

const DAY_MS = 86_400_000;

/** A record with typical vendor fields. The argument overrides parts of it. */
export function tokenRecord({
  token,
  ...rest
}: Partial<Omit<TokenRecord, 'token'>> & { readonly token?: Partial<TokenRecord['token']> } = {}): TokenRecord {
  const issuedAt = 1_800_000_000_000;
  return {
    subject: { app: 'default', unionId: 'union-canary-3d4e5f', uniqueId: 'terminal-canary-6a7b8c' },
    region: 'CN',
    token: {
      fields: {
        accessId: '-9223371996052586423',
        accessToken: '0181c4b7f29e5d3a'.repeat(8),
        expireTime: '1802592000',
        terminalId: '-9223371996052586423',
        expand: '{"area":"cn","regRegion":"CN"}',
        expend: '{"area":"cn","regRegion":"CN"}',
      },
      issuedAt,
      expiresAt: issuedAt + 30 * DAY_MS,
      ...token,
    },
    generation: 1_800_000_000_123,
    answeredAt: 1_800_000_000_456,
    read: false,
    unreadRenewals: 0,
    suspect: false,
    ...rest,
  };
}
