import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Accounts } from '../../broker/accounts.ts';
import type { TokenBroker } from '../../broker/token-broker.ts';
import { type ErrorCode, READ_ERRORS } from '../../token/errors.ts';
import { subjectId } from '../../token/subject.ts';
import { audit } from '../admin-access.ts';
import { ADMIN_CALL_ERRORS, emptyResponse, problemResponses } from '../documented-responses.ts';
import { requestedSubject, type SubjectRules, TERMINAL_PARAMETERS, terminalPath } from '../requested-subject.ts';
import { leaveBodiesUnread } from '../server/request-bodies.ts';
import { querySchema } from '../server/validation.ts';
import { answerToken, conditionHeaders, refused, TOKEN_RESPONSES } from '../token-answer.ts';

const { app, regRegion } = TERMINAL_PARAMETERS;
const terminalTokenQuery = querySchema({ app, regRegion, refused });
const terminalQuery = querySchema({
  app: app.meta({ description: 'The app, for example `ios`. Without it, all apps.' }),
});

/** The errors that only a session can cause. */
const SESSION_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'session_expired',
  'session_forbidden',
  'session_check_unavailable',
]);

const getTerminalToken = {
  operationId: 'getTerminalToken',
  summary: "The terminal's SDK token",
  description:
    'For a cloud that includes it in its own login response. The broker uses `regRegion` only for the first login of ' +
    'an account.',
  tags: ['terminals'],
  querystring: terminalTokenQuery,
  documentedHeaders: conditionHeaders,
  response: { ...TOKEN_RESPONSES, ...problemResponses(READ_ERRORS.filter((code) => !SESSION_ERRORS.has(code))) },
};

const logTerminalOut = {
  operationId: 'logTerminalOut',
  summary: 'Log one terminal out',
  description:
    "Deletes the terminal's token on every replica. The broker then asks again about each session of the account. " +
    'Idempotent.',
  tags: ['terminals'],
  querystring: terminalQuery,
  response: {
    204: emptyResponse('There is no token any more.'),
    ...problemResponses(ADMIN_CALL_ERRORS),
  },
};

export interface TerminalRoutesOptions extends SubjectRules {
  readonly tokens: Pick<TokenBroker, 'read'>;
  readonly accounts: Pick<Accounts, 'logOut'>;
}

/** `GET /accounts/{unionId}/terminals/{uniqueId}/sdk-token` and `DELETE /accounts/{unionId}/terminals/{uniqueId}`. */
export const terminalRoutes: FastifyPluginAsyncZod<TerminalRoutesOptions> = async (app, options) => {
  const { tokens, accounts, apps, terminalPolicy } = options;
  leaveBodiesUnread(app);

  const params = terminalPath(terminalPolicy);

  app.get(
    '/accounts/:unionId/terminals/:uniqueId/sdk-token',
    { schema: { ...getTerminalToken, params } },
    async (request, reply) => {
      const { params, query } = request;
      const subject = requestedSubject(options, { unionId: params.unionId, app: undefined }, { ...params, ...query });
      const id = subjectId(subject);
      audit(request, 'subject', [id]);
      // The caller is the cloud that issues the sessions, so no erasure makes its request too old.
      const sessionIssuedAt = Number.POSITIVE_INFINITY;
      const { regRegion: region, refused } = query;
      const token = await tokens.read({ subject, id, region, sessionIssuedAt, refused, requestId: request.id });
      return answerToken(token, request, reply);
    },
  );

  app.delete(
    '/accounts/:unionId/terminals/:uniqueId',
    { schema: { ...logTerminalOut, params } },
    async (request, reply) => {
      const { unionId, uniqueId } = request.params;
      const { query } = request;
      const subjects = (query.app === undefined ? apps : [query.app]).map((app) =>
        requestedSubject(options, { unionId, app: undefined }, { app, uniqueId }),
      );
      audit(request, 'subject', subjects.map(subjectId));
      await Promise.all(subjects.map((subject) => accounts.logOut(subject, 'operator')));
      return reply.code(204).send();
    },
  );
};
