import type { SdkToken, TokenRecord } from '../../../src/token/sdk-token.ts';
import type { Subject } from '../../../src/token/subject.ts';
import { LIFE_MS, madeUpRecord, madeUpToken } from '../../../test/support/made-up-tokens.ts';
import { newSubjects } from '../subjects.ts';

/** The records are past the share of their lifetime at which the policy renews them. */
const SPENT_SHARE = 0.95;
const CONCURRENT_WRITES = 50;
/** Smallest accessId. It has as many digits as the ids of the vendor. */
const FIRST_ACCESS_ID = 9_007_190_000_000_000;

/** Creates `count` records that are already due, and passes them to `put`, many at the same time. */
export async function putDueRecords(count: number, put: (record: TokenRecord) => Promise<unknown>): Promise<void> {
  for (let done = 0; done < count; done += CONCURRENT_WRITES) {
    const subjects = newSubjects(Math.min(CONCURRENT_WRITES, count - done));
    await Promise.all(subjects.map((subject) => put(dueRecord({ app: 'default', ...subject }))));
  }
}

/** The vendor's answer to a login. All tokens of an account have the same accessId. */
export function newToken({ unionId }: Subject): SdkToken {
  return madeUpToken(`-${Number.parseInt(unionId.slice(0, 8), 16) + FIRST_ACCESS_ID}`);
}

function dueRecord(subject: Subject): TokenRecord {
  const { fields, issuedAt, expiresAt } = newToken(subject);
  const agoMs = Math.round(SPENT_SHARE * LIFE_MS);
  return madeUpRecord(subject, { fields, issuedAt: issuedAt - agoMs, expiresAt: expiresAt - agoMs });
}
