import { BrokerError } from '../token/errors.ts';

const RETRY_AFTER_SECONDS = 2;

/** What to throw when a session cannot be checked, which is no verdict on it. @param cause for the log; nothing secret */
export function checkUnavailable(cause: unknown): BrokerError {
  return new BrokerError('session_check_unavailable', { retryAfter: RETRY_AFTER_SECONDS, cause });
}
