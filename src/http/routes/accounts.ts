import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { type AccessIds, accessIdTerminal } from '../../broker/access-ids.ts';
import type { Accounts } from '../../broker/accounts.ts';
import { BrokerError, LOGIN_ERRORS } from '../../token/errors.ts';
import type { AccountStore, KnownAccount, StoredAccount } from '../../token/ports.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { ACCESS_ID_MAX_LENGTH, accountId, isTextUpTo } from '../../token/subject.ts';
import { audit } from '../admin-access.ts';
import {
  ADMIN_CALL_ERRORS,
  emptyResponse,
  instant,
  isoTime,
  open,
  problemResponses,
  responseWithBody,
} from '../documented-responses.ts';
import { accountPath, requestedSubject, type SubjectRules, TERMINAL_PARAMETERS } from '../requested-subject.ts';
import { leaveBodiesUnread } from '../server/request-bodies.ts';
import { querySchema } from '../server/validation.ts';

export const noQuery = querySchema({});

const MAX_ACCESS_IDS = 1_000;
const ACCESS_ID = `must be 1 to ${ACCESS_ID_MAX_LENGTH} Unicode characters`;

const accessId = z
  .string({
    error: ({ input }) =>
      typeof input === 'number'
        ? 'must be a string, not a number: JSON readers round 64-bit integers'
        : 'must be a string',
  })
  .refine((text) => isTextUpTo(ACCESS_ID_MAX_LENGTH, text), { error: ACCESS_ID });

/** The body of `POST /accounts/lookup`. */
export const lookupBody = z.strictObject(
  {
    accessIds: z
      .array(accessId, { error: 'must be an array of strings' })
      .min(1, { error: 'must not be empty' })
      .max(MAX_ACCESS_IDS, { error: `may hold ${MAX_ACCESS_IDS} at most` })
      .meta({
        description: 'As the broker has handed them out: opaque strings of 1 to 128 characters.',
        examples: [['-9223371996052586423']],
      }),
  },
  { error: 'must be a JSON object {"accessIds": […]} and nothing else' },
);

/** The fields of an account that never change. */
const identity = {
  accessId: z.string().meta({ description: "The vendor's name for the account: an opaque string." }),
  region: z.string().meta({ description: 'Country, ISO 3166-1 alpha-2, pinned at the first login.' }),
};

const pause = open({
  until: instant,
  code: z.string().meta({ description: 'The `code` of the last failure.' }),
});

const account = open({
  ...identity,
  erasedAt: instant.optional().meta({ description: 'The last erasure. Older sessions are refused.' }),
  loggedOutAt: instant
    .optional()
    .meta({ description: 'The last logout of the whole account. Older sessions are refused.' }),
  coolDown: pause.optional().meta({
    description:
      'Present while logins of this account pause: several failed in a row, or the vendor said that they are too frequent.',
  }),
  terminals: z
    .array(
      open({
        app: z.string(),
        uniqueId: z.string(),
        issuedAt: instant,
        expiresAt: instant,
        refreshAt: instant.meta({ description: 'When its token is due for renewal.' }),
        generation: z.int().meta({ description: 'A larger number is newer.' }),
        readSinceRefresh: z.boolean().meta({ description: 'Whether an app has read this generation.' }),
        coolingDown: pause.optional().meta({ description: 'The cool-down of the account: its terminals share it.' }),
      }),
    )
    .meta({ description: 'The terminals with a valid token, sorted by app and uniqueId.' }),
  terminalLimit: z.int().meta({
    description: 'The maximum number of terminals, `TERMINALS_PER_ACCOUNT`. Another one gets `terminal_limit`.',
  }),
}).meta({ id: 'Account', description: 'Never holds a token.' });

/** The answer of `GET /accounts/{unionId}`. */
export type Account = z.infer<typeof account>;

const lookup = z
  .record(z.string(), z.string())
  .meta({ id: 'Lookup', description: 'unionId by accessId. Unknown accessIds are missing.' });

const EXAMPLE_ACCOUNT: Account = {
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
  terminalLimit: 20,
};

const getAccount = {
  operationId: 'getAccount',
  summary: 'An account and its terminals',
  tags: ['accounts'],
  params: accountPath,
  querystring: noQuery,
  response: {
    200: responseWithBody('The account.', { schema: account, example: EXAMPLE_ACCOUNT }),
    ...problemResponses([...ADMIN_CALL_ERRORS, 'not_found']),
  },
};

const lookUpAccounts = {
  operationId: 'lookUpAccounts',
  summary: 'Accounts by accessId',
  description: 'Finds accounts whose tokens have expired too, until the account is erased. Changes nothing.',
  tags: ['accounts'],
  querystring: noQuery,
  body: lookupBody,
  response: {
    200: responseWithBody('The accounts that the broker knows.', {
      schema: lookup,
      example: { '-9223371996052586423': 'user-1' },
    }),
    ...problemResponses(ADMIN_CALL_ERRORS),
  },
};

const eraseAccount = {
  operationId: 'eraseAccount',
  summary: 'Erase an account',
  description:
    'Deletes its tokens, its schedule and its directory entry on every replica. The broker refuses sessions issued ' +
    'before this instant from now on. With a newer session the account can log in again. Idempotent.',
  tags: ['accounts'],
  params: accountPath,
  querystring: noQuery,
  response: {
    204: emptyResponse('The account is erased. The broker keeps only the time of the erasure.'),
    ...problemResponses(ADMIN_CALL_ERRORS),
  },
};

const logAccountOut = {
  operationId: 'logAccountOut',
  summary: 'Log a whole account out',
  description:
    'For a user who was kicked out or banned. Deletes the tokens of all terminals on every replica. A login in flight ' +
    'does not restore one. The broker refuses sessions issued before this instant from now on, and asks again about ' +
    'each other session of the account. The accessId and the country stay. With a newer session the account can log in ' +
    'again. Idempotent.',
  tags: ['accounts'],
  params: accountPath,
  querystring: noQuery,
  response: {
    204: emptyResponse('There are no tokens any more.'),
    ...problemResponses(ADMIN_CALL_ERRORS),
  },
};

const accessIdQuery = querySchema({
  app: TERMINAL_PARAMETERS.app.meta({
    description:
      'The app that logs in, for example `ios`. May be left out if there is only one, or if the account is known.',
  }),
  regRegion: TERMINAL_PARAMETERS.regRegion,
});

const knownAccount = z.looseObject(identity).meta({ id: 'AccessId' });

const obtainAccessId = {
  operationId: 'obtainAccessId',
  summary: "The account's accessId",
  description:
    'For sharing a camera with somebody who has not opened the app yet. An account that has never logged in logs in once: ' +
    'this login takes no place of a terminal, and its token is neither stored nor renewed. Any other account causes no ' +
    'login. The body is not read.',
  tags: ['accounts'],
  params: accountPath,
  querystring: accessIdQuery,
  response: {
    200: responseWithBody('The accessId. From now on `POST /accounts/lookup` knows it.', {
      schema: knownAccount,
      example: { accessId: '-9223371996052586423', region: 'DE' },
    }),
    ...problemResponses([...ADMIN_CALL_ERRORS, 'not_found', ...LOGIN_ERRORS]),
  },
};

/** The public view of an account, without tokens. The terminals are sorted by app, then uniqueId. */
function accountView(
  { accessId, region }: KnownAccount,
  { records, coolDown, erasedAt, loggedOutAt }: StoredAccount,
  { refreshAt, terminalLimit }: AccountRoutesOptions,
): Account {
  const pause = coolDown && { until: isoTime(coolDown.until), code: coolDown.code };
  const terminals = records.map((record) => ({
    app: record.subject.app,
    uniqueId: record.subject.uniqueId,
    issuedAt: isoTime(record.token.issuedAt),
    expiresAt: isoTime(record.token.expiresAt),
    refreshAt: isoTime(refreshAt(record)),
    generation: record.generation,
    readSinceRefresh: record.read,
    coolingDown: pause,
  }));
  terminals.sort((a, b) => order(a.app, b.app) || order(a.uniqueId, b.uniqueId));
  const [erasure, logout] = [erasedAt, loggedOutAt].map((at) => (at === undefined ? undefined : isoTime(at)));
  return { accessId, region, erasedAt: erasure, loggedOutAt: logout, coolDown: pause, terminals, terminalLimit };
}

/** The `detail` for an account without an entry. Support needs it most right after an erasure. */
function absenceOf({ erasedAt, loggedOutAt, coolDown }: StoredAccount): string {
  const facts = [
    loggedOutAt !== undefined && `it was logged out at ${isoTime(loggedOutAt)}`,
    erasedAt !== undefined && `it was erased at ${isoTime(erasedAt)}`,
    coolDown && `its logins pause until ${isoTime(coolDown.until)} because of ${coolDown.code}`,
  ].filter(Boolean);
  return `There is no such account here${facts.length > 0 ? `: ${facts.join('; ')}` : ''}`;
}

/** Compares code units, so the order does not depend on the machine's locale. */
function order(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export interface AccountRoutesOptions extends SubjectRules {
  /** Epoch ms at which a token is due for renewal. */
  readonly refreshAt: (record: TokenRecord) => number;
  /** Maximum number of terminals of an account. */
  readonly terminalLimit: number;
  readonly accounts: Pick<Accounts, 'erase' | 'logOutEverywhere'>;
  readonly accountStore: Pick<AccountStore, 'find' | 'identify' | 'lookUp'>;
  readonly accessIds: Pick<AccessIds, 'obtain'>;
}

/** `/accounts/{unionId}` with what concerns the whole account, and `POST /accounts/lookup`. */
export const accountRoutes: FastifyPluginAsyncZod<AccountRoutesOptions> = async (app, options) => {
  const { accounts, accountStore, accessIds } = options;
  app.removeContentTypeParser('text/plain');

  app.get('/accounts/:unionId', { schema: getAccount }, async (request, reply) => {
    const { unionId } = request.params;
    audit(request, 'account', [accountId(unionId)]);
    const account = await accountStore.find(unionId);
    const { identity } = account;
    if (!identity) throw new BrokerError('not_found', { detail: absenceOf(account) });
    return reply.send(accountView(identity, account, options));
  });

  app.post('/accounts/lookup', { schema: lookUpAccounts }, async (request, reply) => {
    const found = await accountStore.lookUp(request.body.accessIds);
    audit(request, 'account', [...found.values()].map(accountId));
    // The serializer of the schema would leave out the accessId `__proto__`.
    const whole = reply.type('application/json; charset=utf-8').serializer(JSON.stringify);
    return whole.send(Object.fromEntries(found));
  });

  await app.register(async (scope: typeof app) => {
    leaveBodiesUnread(scope);
    scope.delete('/accounts/:unionId', { schema: eraseAccount }, async (request, reply) => {
      const { unionId } = request.params;
      audit(request, 'account', [accountId(unionId)]);
      await accounts.erase(unionId);
      return reply.code(204).send();
    });

    scope.delete('/accounts/:unionId/terminals', { schema: logAccountOut }, async (request, reply) => {
      const { unionId } = request.params;
      audit(request, 'account', [accountId(unionId)]);
      await accounts.logOutEverywhere(unionId);
      return reply.code(204).send();
    });

    scope.put('/accounts/:unionId/access-id', { schema: obtainAccessId }, async (request, reply) => {
      const { unionId } = request.params;
      const { app: requestedApp, regRegion } = request.query;
      audit(request, 'account', [accountId(unionId)]);
      const logIn = (): Promise<KnownAccount> => {
        const requested = { app: requestedApp, uniqueId: accessIdTerminal(unionId) };
        const subject = requestedSubject(options, { unionId, app: undefined }, requested);
        return accessIds.obtain(subject, regRegion);
      };
      const { accessId, region } = (await accountStore.identify(unionId)) ?? (await logIn());
      return reply.send({ accessId, region });
    });
  });
};
