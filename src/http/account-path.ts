import { BrokerError } from '../token/errors.ts';
import { UNION_ID_MAX_LENGTH, UNIQUE_ID_PATTERN } from '../token/subject.ts';
import type { TerminalPolicy } from './requested-subject.ts';

export interface AccountPath {
  readonly unionId: string;
}

export interface TerminalPath extends AccountPath {
  readonly uniqueId: string;
}

export const PATH_RULES = {
  unionId: `1 to ${UNION_ID_MAX_LENGTH} Unicode characters, percent-encoded as UTF-8`,
  uniqueId: '1 to 128 visible ASCII characters, percent-encoded',
} as const;

/** @throws BrokerError `request_invalid` */
export function checkAccountPath({ unionId }: AccountPath): string {
  const length = [...unionId].length;
  if (length >= 1 && length <= UNION_ID_MAX_LENGTH && unionId.isWellFormed()) return unionId;
  throw new BrokerError('request_invalid', { detail: `The unionId in the path must be ${PATH_RULES.unionId}` });
}

/** @throws BrokerError `request_invalid` */
export function checkTerminalPath(path: TerminalPath, policy: TerminalPolicy): TerminalPath {
  const unionId = checkAccountPath(path);
  const { uniqueId } = path;
  // Under that policy it is how the account's one terminal is listed.
  const named = policy === 'single' && uniqueId === unionId;
  if (named || UNIQUE_ID_PATTERN.test(uniqueId)) return { unionId, uniqueId };
  throw new BrokerError('request_invalid', { detail: `The uniqueId in the path must be ${PATH_RULES.uniqueId}` });
}
