import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import type { Accounts } from '../../broker/accounts.ts';
import type { TokenBroker } from '../../broker/token-broker.ts';
import { ERRORS, type ErrorCode } from '../../token/errors.ts';
import { ADMIN_ERRORS, ADMIN_SECURITY, problemResponses, RESPONSE_HEADERS } from '../openapi/responses.ts';
import { conditionHeaders, terminalQuery, terminalTokenQuery } from '../openapi/schemas.ts';
import { requestedSubject, type SubjectRules, terminalPath } from '../requested-subject.ts';
import { leaveBodiesUnread } from '../server/server.ts';
import { answerToken } from '../token-answer.ts';
import { CONDITIONS, TOKEN_RESPONSES } from './sdk-token.ts';

const EXAMPLES = {
  request_invalid: { detail: 'The uniqueId in the path must be 1 to 128 visible ASCII characters, percent-encoded' },
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

const getTerminalToken = {
  operationId: 'getTerminalToken',
  summary: "The terminal's SDK token",
  description:
    'For a cloud that includes it in its own login answer. `regRegion` counts at the first login of an account alone. ' +
    CONDITIONS,
  tags: ['terminals'],
  security: ADMIN_SECURITY,
  querystring: terminalTokenQuery,
  documentedHeaders: conditionHeaders,
  response: { ...TOKEN_RESPONSES, ...problemResponses(READ_ERRORS, EXAMPLES) },
};

const logTerminalOut = {
  operationId: 'logTerminalOut',
  summary: 'Log one terminal out',
  description: "Forgets the terminal's token on every replica. Idempotent.",
  tags: ['terminals'],
  security: ADMIN_SECURITY,
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

export interface TerminalRoutesOptions extends SubjectRules {
  readonly tokens: Pick<TokenBroker, 'read'>;
  readonly accounts: Pick<Accounts, 'logOut'>;
}

interface TerminalRequest<Query extends z.ZodType> {
  Params: z.infer<ReturnType<typeof terminalPath>>;
  Querystring: z.infer<Query>;
}

/** A terminal's token for the customer's own cloud, and its logout. */
export async function terminalRoutes(app: FastifyInstance, options: TerminalRoutesOptions): Promise<void> {
  const { tokens, accounts, apps, terminalPolicy } = options;
  leaveBodiesUnread(app);

  const params = terminalPath(terminalPolicy);

  app.get<TerminalRequest<typeof terminalTokenQuery>>(
    '/accounts/:unionId/terminals/:uniqueId/sdk-token',
    { schema: { ...getTerminalToken, params } },
    async (request, reply) => {
      const { params, query } = request;
      const subject = requestedSubject(options, { unionId: params.unionId, app: undefined }, { ...params, ...query });
      // The cloud that issues the sessions asks: no erasure is newer.
      const sessionIssuedAt = Number.POSITIVE_INFINITY;
      return answerToken(tokens, { subject, region: query.regRegion, sessionIssuedAt }, request, reply);
    },
  );

  app.delete<TerminalRequest<typeof terminalQuery>>(
    '/accounts/:unionId/terminals/:uniqueId',
    { schema: { ...logTerminalOut, params } },
    async ({ params: { unionId, uniqueId }, query }, reply) => {
      const subjects = (query.app === undefined ? apps : [query.app]).map((app) =>
        requestedSubject(options, { unionId, app: undefined }, { app, uniqueId }),
      );
      await Promise.all(subjects.map((subject) => accounts.logOut(subject)));
      return reply.code(204).send();
    },
  );
}
