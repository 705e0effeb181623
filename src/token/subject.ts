import { hash } from 'node:crypto';

/** Whose SDK token it is: one account (`unionId`) on one terminal (`uniqueId`) in one edition of the app. */
export interface Subject {
  readonly app: string;
  readonly unionId: string;
  readonly uniqueId: string;
}

/**
 * A subject as it may be seen outside the broker: two digests, the account's and the terminal's, each
 * 22 characters of base64url. Nothing personal can be read from it.
 */
export type SubjectId = string & { readonly __brand: 'SubjectId' };

/** An account as it may be seen outside the broker: the first part of its subjects' ids. */
export type AccountId = string & { readonly __brand: 'AccountId' };

/** 128 bits of SHA-256 in base64url. */
export const DIGEST_LENGTH = 22;

/** The `uniqueId` the vendor's protocol lets through: 1 to 128 visible ASCII characters (protocol.md, "What nobody says"). */
export const UNIQUE_ID_PATTERN = /^[\x21-\x7e]{1,128}$/;

/** The name of an edition of the customer's app: a key of `VENDOR_APPS`, the `app` parameter and the app claim. */
export const APP_NAME_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;

/** Most characters (code points) an account's `unionId` may have. */
export const UNION_ID_MAX_LENGTH = 128;

/** ISO 3166-1 alpha-2, upper case. */
export const REGION_PATTERN = /^[A-Z]{2}$/;

/** The subject's id. Different subjects never share one: the parts are digested as a JSON array, which is injective. */
export function subjectId(subject: Subject): SubjectId {
  return (accountId(subject.unionId) + digest(JSON.stringify([subject.app, subject.uniqueId]))) as SubjectId;
}

export function accountId(unionId: string): AccountId {
  return digest(unionId) as AccountId;
}

export function accountOf(id: SubjectId): AccountId {
  return id.slice(0, DIGEST_LENGTH) as AccountId;
}

export function terminalOf(id: SubjectId): string {
  return id.slice(DIGEST_LENGTH);
}

/** 22 characters of base64url that stand for `text`. */
export function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, DIGEST_LENGTH);
}
