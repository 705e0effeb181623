import { ERRORS, type ErrorCode } from './errors.ts';

/** For how long a failure is counted. */
export const FAILURE_MEMORY_MS = 60_000;
const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/** Ms for which a subject is left alone after so many failures in a row: the first one may be tried again at once. */
export function coolDownMs(failures: number): number {
  return failures < 2 ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 2));
}

/** Whether a failure says that the next login will probably fail too, but not for ever. */
export function coolsDown(code: ErrorCode): boolean {
  return code !== 'vendor_busy' && code.startsWith('vendor_') && ERRORS[code].retryable;
}
