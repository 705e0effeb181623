import type { z } from 'zod';
import type { StoredAccount } from '../token/ports.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import type { account } from './internal-schemas.ts';

export interface AccountViewOptions {
  /** Epoch ms at which a token falls due for renewal. */
  readonly refreshAt: (record: TokenRecord) => number;
}

/** What may be seen of an account: never a token. Its terminals by app, then uniqueId. */
export function accountView(
  { accessId, region, records }: StoredAccount,
  { refreshAt }: AccountViewOptions,
): z.infer<typeof account> {
  const terminals = records.map((record) => ({
    app: record.subject.app,
    uniqueId: record.subject.uniqueId,
    issuedAt: instant(record.token.issuedAt),
    expiresAt: instant(record.token.expiresAt),
    refreshAt: instant(refreshAt(record)),
    generation: record.generation,
    readSinceRefresh: record.read,
  }));
  terminals.sort((a, b) => order(a.app, b.app) || order(a.uniqueId, b.uniqueId));
  return { accessId, region, terminals };
}

function instant(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

/** By code unit: the same on every machine, whatever its locale. */
function order(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
