import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Accounts } from '../../broker/accounts.ts';
import { BrokerError } from '../../token/errors.ts';
import type { StoredAccount } from '../../token/ports.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { ADMIN_ERRORS, ADMIN_SECURITY, problemResponses, RESPONSE_HEADERS } from '../openapi/responses.ts';
import { account, lookup, noQuery } from '../openapi/schemas.ts';
import { accountPath } from '../requested-subject.ts';
import { leaveBodiesUnread } from '../server/server.ts';

const MAX_ACCESS_IDS = 1_000;

const accessId = z
  .string({
    error: ({ input }) =>
      typeof input === 'number'
        ? 'must be a string, not a number: JSON readers round 64-bit integers'
        : 'must be a string',
  })
  .regex(/^(0|-?[1-9][0-9]{0,18})$/, { error: 'must be a decimal integer of 64 bits', abort: true })
  .refine((text) => BigInt.asIntN(64, BigInt(text)) === BigInt(text), {
    error: 'must be a decimal integer of 64 bits',
  });

/** The body of `POST /accounts/lookup`. */
export const lookupBody = z.strictObject(
  {
    accessIds: z
      .array(accessId, { error: 'must be an array of strings' })
      .min(1, { error: 'must not be empty' })
      .max(MAX_ACCESS_IDS, { error: `may hold ${MAX_ACCESS_IDS} at most` })
      .meta({
        description: 'Decimal integers of 64 bits, as strings: JSON readers round such numbers.',
        examples: [['-9223371996052586423']],
      }),
  },
  { error: 'must be a JSON object {"accessIds": […]} and nothing else' },
);

const { 'X-Request-Id': requestId, 'Cache-Control': cacheControl } = RESPONSE_HEADERS;
const headers = { 'X-Request-Id': requestId, 'Cache-Control': cacheControl };

const EXAMPLES = {
  request_invalid: { detail: 'The unionId in the path must be 1 to 128 Unicode characters, percent-encoded as UTF-8' },
};

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

const getAccount = {
  operationId: 'getAccount',
  summary: 'An account and its terminals',
  tags: ['accounts'],
  security: ADMIN_SECURITY,
  params: accountPath,
  querystring: noQuery,
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

const lookUpAccounts = {
  operationId: 'lookUpAccounts',
  summary: 'Accounts by accessId',
  description: 'What is known outlives tokens, until the account is erased. Changes nothing.',
  tags: ['accounts'],
  security: ADMIN_SECURITY,
  querystring: noQuery,
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

const eraseAccount = {
  operationId: 'eraseAccount',
  summary: 'Erase an account',
  description:
    'Forgets its tokens, its schedule and its place in the directory, on every replica. Sessions issued before this ' +
    'instant are refused from now on; with a newer one the account may come back. Idempotent.',
  tags: ['accounts'],
  security: ADMIN_SECURITY,
  params: accountPath,
  querystring: noQuery,
  response: {
    204: {
      description: 'Nothing is known of it any more but the instant.',
      headers: { 'X-Request-Id': requestId },
      content: {},
    },
    ...problemResponses(ADMIN_ERRORS, EXAMPLES),
  },
};

export interface AccountViewOptions {
  /** Epoch ms at which a token falls due for renewal. */
  readonly refreshAt: (record: TokenRecord) => number;
}

/** What may be seen of an account: never a token. Its terminals by app, then uniqueId. */
function accountView(
  { accessId, region, records }: StoredAccount,
  { refreshAt }: AccountViewOptions,
): z.infer<typeof account> {
  const terminals = records.map((record) => ({
    app: record.subject.app,
    uniqueId: record.subject.uniqueId,
    issuedAt: instant(record.token.issuedAt),
    expiresAt: instant(record.token.expiresAt),
    refreshAt: instant(refreshAt(record)),
    generation: record.generation,
    readSinceRefresh: record.read,
  }));
  terminals.sort((a, b) => order(a.app, b.app) || order(a.uniqueId, b.uniqueId));
  return { accessId, region, terminals };
}

function instant(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

/** By code unit: the same on every machine, whatever its locale. */
function order(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export interface AccountRoutesOptions extends AccountViewOptions {
  readonly accounts: Pick<Accounts, 'find' | 'lookUp' | 'erase'>;
}

interface AccountRequest {
  Params: z.infer<typeof accountPath>;
}

/** Look at an account, find accounts by accessId, erase one. */
export async function accountRoutes(app: FastifyInstance, options: AccountRoutesOptions): Promise<void> {
  const { accounts } = options;
  app.removeContentTypeParser('text/plain');

  app.get<AccountRequest>('/accounts/:unionId', { schema: getAccount }, async (request, reply) => {
    const account = await accounts.find(request.params.unionId);
    if (!account) throw new BrokerError('not_found', { detail: 'There is no such account here' });
    return reply.header('cache-control', 'no-store').send(accountView(account, options));
  });

  app.post<{ Body: z.infer<typeof lookupBody> }>(
    '/accounts/lookup',
    { schema: lookUpAccounts },
    async (request, reply) => {
      const found = await accounts.lookUp(request.body.accessIds);
      return reply.header('cache-control', 'no-store').send(Object.fromEntries(found));
    },
  );

  await app.register(async (scope) => {
    leaveBodiesUnread(scope);
    scope.delete<AccountRequest>('/accounts/:unionId', { schema: eraseAccount }, async (request, reply) => {
      await accounts.erase(request.params.unionId);
      return reply.code(204).send();
    });
  });
}
