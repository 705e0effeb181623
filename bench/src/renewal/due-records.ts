import type { RefreshPolicy } from '../../../src/token/renewal-timing.ts';
import type { SdkToken, TokenRecord } from '../../../src/token/sdk-token.ts';
import type { Subject } from '../../../src/token/subject.ts';
import { newSubjects, randomToken } from '../subjects.ts';

/** The broker's default one. */
export const POLICY: RefreshPolicy = { mode: 'proactive', share: { from: 0.7, to: 0.9 }, unreadLimit: 1 };

/** Past the share of a life at which it is due for renewal. */
const SPENT_SHARE = 0.95;
const AT_ONCE = 50;
/** Accounts' ids have as many digits as the vendor's. */
const ACCESS_ID_FROM = 9_007_190_000_000_000;

/** Makes `count` records that have been due for a while, and hands them to `put`, many at once. */
export async function putDueRecords(count: number, put: (record: TokenRecord) => Promise<unknown>): Promise<void> {
  for (let done = 0; done < count; done += AT_ONCE) {
    const subjects = newSubjects(Math.min(AT_ONCE, count - done));
    await Promise.all(subjects.map((subject) => put(dueRecord({ app: 'default', ...subject }))));
  }
}

/** The vendor's answer to a login: an account keeps its accessId. */
export function newToken({ unionId }: Subject): SdkToken {
  const token = randomToken();
  const accessId = `-${Number.parseInt(unionId.slice(0, 8), 16) + ACCESS_ID_FROM}`;
  return { ...token, fields: { ...token.fields, accessId } };
}

function dueRecord(subject: Subject): TokenRecord {
  const { fields, issuedAt, expiresAt } = newToken(subject);
  const agoMs = Math.round(SPENT_SHARE * (expiresAt - issuedAt));
  const token = { fields, issuedAt: issuedAt - agoMs, expiresAt: expiresAt - agoMs };
  return { subject, region: 'DE', token, generation: token.issuedAt, read: true, unreadRenewals: 0 };
}
