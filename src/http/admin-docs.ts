import type { ErrorCode } from '../token/errors.ts';

/** What every operation behind the admin token needs. */
export const ADMIN_SECURITY = [{ adminToken: [] }];

/** What every operation behind the admin token that asks the store alone may fail with. */
export const ADMIN_ERRORS: readonly ErrorCode[] = [
  'request_invalid',
  'session_missing',
  'session_invalid',
  'internal',
  'store_unavailable',
  'shutting_down',
];
