import { PATH_RULES } from './account-path.ts';
import { ADMIN_ERRORS, ADMIN_SECURITY } from './admin-docs.ts';
import { problemResponses, RESPONSE_HEADERS } from './documented-response.ts';
import { account, accountPath, lookup } from './internal-schemas.ts';
import { lookupBody } from './lookup-body.ts';

const { 'X-Request-Id': requestId, 'Cache-Control': cacheControl } = RESPONSE_HEADERS;
const headers = { 'X-Request-Id': requestId, 'Cache-Control': cacheControl };

const EXAMPLES = { request_invalid: { detail: `The unionId in the path must be ${PATH_RULES.unionId}` } };

const EXAMPLE_ACCOUNT = {
  accessId: '-9223371996052586423',
  region: 'CN',
  terminals: [
    {
      app: 'default',
      uniqueId: 'phone-1',
      issuedAt: '2023-10-08T09:39:48.000Z',
      expiresAt: '2023-11-07T09:39:48.000Z',
      refreshAt: '2023-11-01T02:11:20.000Z',
      generation: 1_696_757_988_000,
      readSinceRefresh: true,
    },
  ],
};

export const getAccount = {
  operationId: 'getAccount',
  summary: 'An account and its terminals',
  tags: ['accounts'],
  security: ADMIN_SECURITY,
  params: accountPath,
  response: {
    200: {
      description: 'The account.',
      headers,
      content: { 'application/json': { schema: account, examples: { account: { value: EXAMPLE_ACCOUNT } } } },
    },
    ...problemResponses([...ADMIN_ERRORS, 'not_found'], {
      ...EXAMPLES,
      not_found: { detail: 'There is no such account here' },
    }),
  },
};

export const lookUpAccounts = {
  operationId: 'lookUpAccounts',
  summary: 'Accounts by accessId',
  description: 'What is known outlives tokens, until the account is erased. Changes nothing.',
  tags: ['accounts'],
  security: ADMIN_SECURITY,
  body: lookupBody,
  response: {
    200: {
      description: 'Those that are known.',
      headers,
      content: {
        'application/json': { schema: lookup, examples: { found: { value: { '-9223371996052586423': 'user-1' } } } },
      },
    },
    ...problemResponses(ADMIN_ERRORS, {
      request_invalid: { detail: 'accessIds[3] must be a string, not a number: JSON readers round 64-bit integers' },
    }),
  },
};

export const eraseAccount = {
  operationId: 'eraseAccount',
  summary: 'Erase an account',
  description:
    'Forgets its tokens, its schedule and its place in the directory, on every replica. Sessions issued before this ' +
    'instant are refused from now on; with a newer one the account may come back. Idempotent.',
  tags: ['accounts'],
  security: ADMIN_SECURITY,
  params: accountPath,
  response: {
    204: {
      description: 'Nothing is known of it any more but the instant.',
      headers: { 'X-Request-Id': requestId },
      content: {},
    },
    ...problemResponses(ADMIN_ERRORS, EXAMPLES),
  },
};
