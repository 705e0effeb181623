import { ERRORS, type ErrorCode } from '../token/errors.ts';
import { PATH_RULES } from './account-path.ts';
import { ADMIN_ERRORS, ADMIN_SECURITY } from './admin-docs.ts';
import { problemResponses, RESPONSE_HEADERS } from './documented-response.ts';
import { terminalPath, terminalQuery, terminalTokenQuery } from './internal-schemas.ts';
import { conditionHeaders } from './schemas.ts';
import { CONDITIONS, TOKEN_RESPONSES } from './sdk-token-docs.ts';

const EXAMPLES = {
  request_invalid: { detail: `The uniqueId in the path must be ${PATH_RULES.uniqueId}` },
  vendor_rejected: { vendorCode: 10016 },
};

/** What only a session can be told of. */
const SESSION_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'session_expired',
  'session_forbidden',
  'session_check_unavailable',
  'not_found',
]);

const READ_ERRORS = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => !SESSION_ERRORS.has(code));

export const getTerminalToken = {
  operationId: 'getTerminalToken',
  summary: "The terminal's SDK token",
  description:
    'For a cloud that includes it in its own login answer. `regRegion` counts at the first login of an account alone. ' +
    CONDITIONS,
  tags: ['terminals'],
  security: ADMIN_SECURITY,
  params: terminalPath,
  querystring: terminalTokenQuery,
  headers: conditionHeaders,
  response: { ...TOKEN_RESPONSES, ...problemResponses(READ_ERRORS, EXAMPLES) },
};

export const logTerminalOut = {
  operationId: 'logTerminalOut',
  summary: 'Log one terminal out',
  description: "Forgets the terminal's token on every replica. Idempotent.",
  tags: ['terminals'],
  security: ADMIN_SECURITY,
  params: terminalPath,
  querystring: terminalQuery,
  response: {
    204: {
      description: 'There is no token any more.',
      headers: { 'X-Request-Id': RESPONSE_HEADERS['X-Request-Id'] },
      content: {},
    },
    ...problemResponses(ADMIN_ERRORS, EXAMPLES),
  },
};
