import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { Accounts } from '../../broker/accounts.ts';
import type { TokenBroker } from '../../broker/token-broker.ts';
import { READ_ERRORS } from '../../token/errors.ts';
import type { CachedPrincipal, LatestSubject } from '../../token/principal.ts';
import type { ServedToken } from '../../token/sdk-token.ts';
import { subjectIdIn } from '../../token/subject.ts';
import { emptyResponse, problemResponses, STORE_CALL_ERRORS } from '../documented-responses.ts';
import { requestedSubject, type SubjectRules, TERMINAL_PARAMETERS } from '../requested-subject.ts';
import { leaveBodiesUnread } from '../server/request-bodies.ts';
import { querySchema } from '../server/validation.ts';
import { answerToken, conditionHeaders, refused, TOKEN_RESPONSES } from '../token-answer.ts';

const { uniqueId, app, regRegion } = TERMINAL_PARAMETERS;
/** `requestedSubject` demands the uniqueId, by the terminal policy. The document says `required`. */
const required = { required: ['uniqueId'] };

export const sdkTokenQuery = querySchema({ uniqueId, app, regRegion, refused });
export const logOutQuery = querySchema({ uniqueId, app });
/** With policy `single`, the broker ignores the uniqueId, so any is valid. The document describes the other. */
const ignoredUniqueId = {
  uniqueId: z
    .unknown()
    .transform(() => undefined)
    .optional(),
};

const LOG_OUT_ERRORS = [
  ...STORE_CALL_ERRORS,
  'session_expired',
  'session_forbidden',
  'rate_limited',
  'session_check_unavailable',
] as const;

const getSdkToken = {
  operationId: 'getSdkToken',
  summary: "The terminal's SDK token",
  description:
    'Logs in to the vendor if there is no valid token yet. All values are strings. Pass them to the SDK unchanged.',
  tags: ['sdk-token'],
  documentedHeaders: conditionHeaders,
  response: { ...TOKEN_RESPONSES, ...problemResponses(READ_ERRORS) },
};

const logOut = {
  operationId: 'logOut',
  summary: "The app's logout",
  description:
    "Deletes the terminal's token on every replica. A login in flight does not restore it. The vendor has no call to " +
    'revoke the token. Idempotent.',
  tags: ['sdk-token'],
  response: {
    204: emptyResponse('There is no token any more.'),
    ...problemResponses(LOG_OUT_ERRORS),
  },
};

type TokenQuery = Partial<z.infer<typeof sdkTokenQuery>>;

/** An app asks for the same subject again. To work it out takes a tenth of a read from memory. */
function subjectOf(rules: SubjectRules, caller: CachedPrincipal, { uniqueId, app }: TokenQuery): LatestSubject {
  const { latest } = caller;
  if (latest !== undefined && latest.uniqueId === uniqueId && latest.app === app) return latest;
  const subject = requestedSubject(rules, caller, { uniqueId, app });
  caller.latest = { uniqueId, app, subject, id: subjectIdIn(caller.account, subject) };
  return caller.latest;
}

export interface TokenReaderOptions extends SubjectRules {
  readonly tokens: Pick<TokenBroker, 'read'>;
}

/** Returns the function that reads the token a caller asks for. @throws BrokerError at once or as a rejection */
export function tokenReader({ tokens, ...rules }: TokenReaderOptions) {
  return (caller: CachedPrincipal, query: TokenQuery, requestId: string): Promise<ServedToken> => {
    const { subject, id } = subjectOf(rules, caller, query);
    const { issuedAt: sessionIssuedAt, region = query.regRegion } = caller;
    return tokens.read({ subject, id, region, sessionIssuedAt, refused: query.refused, requestId });
  };
}

export interface SdkTokenRoutesOptions extends SubjectRules {
  readonly tokenFor: ReturnType<typeof tokenReader>;
  readonly accounts: Pick<Accounts, 'logOut'>;
}

/** `GET /sdk-token` and `DELETE /sdk-token`. */
export const sdkTokenRoutes: FastifyPluginAsyncZod<SdkTokenRoutesOptions> = async (app, options) => {
  const { tokenFor, accounts, terminalPolicy } = options;
  leaveBodiesUnread(app);
  const ignored = terminalPolicy === 'single' ? ignoredUniqueId : {};
  const getSchema = { ...getSdkToken, querystring: sdkTokenQuery.extend(ignored).meta(required) };
  const logOutSchema = { ...logOut, querystring: logOutQuery.extend(ignored).meta(required) };

  app.get('/sdk-token', { schema: getSchema }, async (request, reply) => {
    const { caller, query, id } = request;
    return answerToken(await tokenFor(caller, query, id), request, reply);
  });

  app.delete('/sdk-token', { schema: logOutSchema }, async (request, reply) => {
    const { caller, query } = request;
    // The line about a refused logout has the id of the subject.
    const { subject } = subjectOf(options, caller, query);
    await accounts.logOut(subject, { sessionIssuedAt: caller.issuedAt });
    return reply.code(204).send();
  });
};
