import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Accounts } from '../../broker/accounts.ts';
import { BrokerError } from '../../token/errors.ts';
import type { StoredAccount } from '../../token/ports.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { ADMIN_ERRORS, ADMIN_SECURITY, problemResponses, RESPONSE_HEADERS } from '../openapi/responses.ts';
import { account, accountPath, lookup } from '../openapi/schemas.ts';
import { type AccountPath, checkAccountPath, PATH_RULES, queryCheck } from '../requested-subject.ts';
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

/** Of `POST /accounts/lookup`. */
const lookupBody = z.strictObject(
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

/** @throws BrokerError `request_invalid` with the first fault and what is allowed, never a value */
export function requestedAccessIds(body: unknown): readonly string[] {
  const parsed = lookupBody.safeParse(body);
  if (parsed.success) return parsed.data.accessIds;
  const { path, message } = parsed.error.issues[0] ?? { path: [], message: 'is not valid' };
  const [, index] = path;
  const place = path.length === 0 ? 'The body' : index === undefined ? 'accessIds' : `accessIds[${String(index)}]`;
  throw new BrokerError('request_invalid', { detail: `${place} ${message}` });
}

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

const getAccount = {
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

const lookUpAccounts = {
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

const eraseAccount = {
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

const checkQuery = queryCheck();

/** Look at an account, find accounts by accessId, erase one. */
export async function accountRoutes(app: FastifyInstance, options: AccountRoutesOptions): Promise<void> {
  const { accounts } = options;
  app.removeContentTypeParser('text/plain');

  app.get<{ Params: AccountPath }>('/accounts/:unionId', { schema: getAccount }, async (request, reply) => {
    checkQuery(request.query);
    const account = await accounts.find(checkAccountPath(request.params));
    if (!account) throw new BrokerError('not_found', { detail: 'There is no such account here' });
    return reply.header('cache-control', 'no-store').send(accountView(account, options));
  });

  app.post('/accounts/lookup', { schema: lookUpAccounts }, async (request, reply) => {
    checkQuery(request.query);
    const found = await accounts.lookUp(requestedAccessIds(request.body));
    return reply.header('cache-control', 'no-store').send(Object.fromEntries(found));
  });

  await app.register(async (scope) => {
    leaveBodiesUnread(scope);
    scope.delete<{ Params: AccountPath }>('/accounts/:unionId', { schema: eraseAccount }, async (request, reply) => {
      checkQuery(request.query);
      await accounts.erase(checkAccountPath(request.params));
      return reply.code(204).send();
    });
  });
}
