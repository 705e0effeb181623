import { BrokerError, type ErrorCode } from '../token/errors.ts';

/** What is counted for what was thrown: the code a caller is told. */
export function errorCodeOf(error: unknown): ErrorCode {
  return error instanceof BrokerError ? error.code : 'internal';
}
