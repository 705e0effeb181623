import { hash } from 'node:crypto';

/** The owner of an SDK token: one account (`unionId`) on one terminal (`uniqueId`) in one app, for example `ios`. */
export interface Subject {
  readonly app: string;
  readonly unionId: string;
  readonly uniqueId: string;
}

/** A subject in logs, Redis keys and announcements: the digests of account and terminal. It is not personal data. */
export type SubjectId = string & { readonly __brand: 'SubjectId' };

/** An account in logs, Redis keys and announcements: the first half of its subjects' ids. */
export type AccountId = string & { readonly __brand: 'AccountId' };

/** Length of a digest: 128 bits of SHA-256 in base64url. */
export const DIGEST_LENGTH = 22;

/**
 * Allowed `uniqueId`: what the vendor's protocol accepts, but neither `.` nor `..`. URL parsers remove these from a
 * path, also percent-encoded: in the internal API, such a terminal would have another address.
 */
export const UNIQUE_ID_PATTERN = /^(?!\.\.?$)[\x21-\x7e]{1,128}$/;
/** {@link UNIQUE_ID_PATTERN} in words: completes the sentence "The uniqueId must be …". */
export const UNIQUE_ID_RULE = '1 to 128 visible ASCII characters, and not . or .. alone';

/** Returns whether this may be a `unionId`, which is in paths of the internal API as well. */
export function isUnionId(text: string): boolean {
  return isTextUpTo(UNION_ID_MAX_LENGTH, text) && text !== '.' && text !== '..';
}

/** Allowed name of an app: a key of `VENDOR_APPS`, the `app` parameter and the app claim. */
export const APP_NAME_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;

/** Maximum length of a `unionId` in characters (code points). */
export const UNION_ID_MAX_LENGTH = 128;

/** Maximum length of an `accessId` in characters (code points). */
export const ACCESS_ID_MAX_LENGTH = 128;

/** Returns whether the text is Unicode of 1 to `maxLength` characters (code points). */
export function isTextUpTo(maxLength: number, text: string): boolean {
  return text !== '' && [...text].length <= maxLength && text.isWellFormed();
}

/** The form of a country code of ISO 3166-1 alpha-2, upper case. */
export const REGION_PATTERN = /^[A-Z]{2}$/;

/**
 * The 249 assigned codes of ISO 3166-1 alpha-2 (https://www.iso.org/obp/ui/#search, as of November 2026; the last was
 * added in 2011). Without reserved codes, such as EU and UK, and codes for private use, such as XK.
 */
export const ASSIGNED_REGION_PATTERN = new RegExp(
  `^(?:${[
    'A[DEFGILMOQRSTUWXZ]|B[ABDEFGHIJLMNOQRSTVWYZ]|C[ACDFGHIKLMNORUVWXYZ]|D[EJKMOZ]|E[CEGHRST]|F[IJKMOR]',
    'G[ABDEFGHILMNPQRSTUWY]|H[KMNRTU]|I[DELMNOQRST]|J[EMOP]|K[EGHIMNPRWYZ]|L[ABCIKRSTUVY]',
    'M[ACDEFGHKLMNOPQRSTUVWXYZ]|N[ACEFGILOPRUZ]|OM|P[AEFGHKLMNRSTWY]|QA|R[EOSUW]|S[ABCDEGHIJKLMNORSTVXYZ]',
    'T[CDFGHJKLMNORTVWZ]|U[AGMSYZ]|V[ACEGINU]|W[FS]|Y[ET]|Z[AMW]',
  ].join('|')})$`,
);

/** Returns the subject's id. */
export function subjectId(subject: Subject): SubjectId {
  return subjectIdIn(accountId(subject.unionId), subject);
}

/** Returns the id of a subject of this account. The JSON array is injective: different subjects have different ids. */
export function subjectIdIn(account: AccountId, { app, uniqueId }: Pick<Subject, 'app' | 'uniqueId'>): SubjectId {
  return (account + digest(JSON.stringify([app, uniqueId]))) as SubjectId;
}

export function accountId(unionId: string): AccountId {
  return digest(unionId) as AccountId;
}

export function accountOf(id: SubjectId | AccountId): AccountId {
  return id.slice(0, DIGEST_LENGTH) as AccountId;
}

export function isSubjectId(id: SubjectId | AccountId): id is SubjectId {
  return id.length > DIGEST_LENGTH;
}

export function terminalOf(id: SubjectId): string {
  return id.slice(DIGEST_LENGTH);
}

const digestBytes = Buffer.alloc(DIGEST_LENGTH);

/** Returns {@link DIGEST_LENGTH} characters of base64url that stand for `text`. */
export function digest(text: string): string {
  // A slice of the hash keeps the whole hash in memory, for each account and each terminal.
  digestBytes.write(hash('sha256', text, 'base64url'));
  return digestBytes.toString();
}

/** Most accessIds of an account, as many as there may be apps: the vendor may give each another one, and change it. */
export const MAX_ACCESS_IDS = 64;

/** The accessIds of an account, the newest first. */
export type AccessIdList = readonly [newest: string, ...former: string[]];

/** The accessIds of an account after the vendor gave it this one. */
export function withAccessId(known: readonly string[], newest: string): AccessIdList {
  return [newest, ...known.filter((accessId) => accessId !== newest).slice(0, MAX_ACCESS_IDS - 1)];
}
