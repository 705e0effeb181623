import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import type { Accounts } from '../../broker/accounts.ts';
import type { TokenBroker } from '../../broker/token-broker.ts';
import { ERRORS, type ErrorCode } from '../../token/errors.ts';
import { subjectId } from '../../token/subject.ts';
import { requireSession, type SessionGuardOptions } from '../credentials.ts';
import { type DocumentedResponse, problemResponses, RESPONSE_HEADERS } from '../openapi/responses.ts';
import { conditionHeaders, logOutQuery, sdkToken, sdkTokenQuery } from '../openapi/schemas.ts';
import { requestedSubject, type SubjectRules } from '../requested-subject.ts';
import type { RepeatedReads } from '../server/hot-reads.ts';
import { leaveBodiesUnread } from '../server/server.ts';
import { answerToken } from '../token-answer.ts';

const { 'X-Request-Id': requestId, ETag: etag, 'Cache-Control': cacheControl } = RESPONSE_HEADERS;
const headers = { 'X-Request-Id': requestId, ETag: etag, 'Cache-Control': cacheControl };

const EXAMPLE_TOKEN = {
  accessId: '-9223371996052586423',
  accessToken: '0181a5b0c1d2e3f4',
  expireTime: '1699349988',
  terminalId: '-9223371996052586423',
  expand: '{"area":"cn","regRegion":"CN"}',
  expend: '{"area":"cn","regRegion":"CN"}',
};

/** The good answers of a token read. */
export const TOKEN_RESPONSES: Readonly<Record<200 | 304, DocumentedResponse>> = {
  200: {
    description: 'The token.',
    headers,
    content: { 'application/json': { schema: sdkToken, examples: { token: { value: EXAMPLE_TOKEN } } } },
  },
  304: {
    description: 'The token is the one whose ETag you sent. Never the answer to `Cache-Control: no-cache`.',
    headers,
    content: {},
  },
};

/** How a token read treats what the caller has already. */
export const CONDITIONS =
  'With `If-None-Match` and the current `ETag` the answer is 304. With `Cache-Control: no-cache` besides, the request ' +
  'says that the SDK was refused with the token of that ETag: the answer is the token in its place, from a new login ' +
  'where there is none yet. **Beware of `fetch()`** in browsers, Node.js, React Native: as its standard has it, it adds ' +
  '`Cache-Control: no-cache` of its own accord to a request with `If-None-Match`. Unless the token was refused, send ' +
  '`Cache-Control: max-age=0` yourself, or no `If-None-Match`.';

/** An example for the errors whose examples say more than their titles. */
const PROBLEM_EXAMPLES = {
  request_invalid: { detail: 'uniqueId must be 1 to 128 visible ASCII characters' },
  session_forbidden: { detail: 'The session is bound to another app than the one asked for' },
  rate_limited: { detail: 'An account may ask 60 times a minute' },
  vendor_rejected: { vendorCode: 10016 },
};

const READ_ERRORS = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => code !== 'not_found');

const LOG_OUT_ERRORS: readonly ErrorCode[] = [
  'request_invalid',
  'session_missing',
  'session_invalid',
  'session_expired',
  'session_forbidden',
  'rate_limited',
  'internal',
  'session_check_unavailable',
  'store_unavailable',
  'shutting_down',
];

const getSdkToken = {
  operationId: 'getSdkToken',
  summary: "The terminal's SDK token",
  description:
    'Logs in to the vendor where there is no valid token yet. All values are strings, to be fed straight to the SDK. ' +
    CONDITIONS,
  tags: ['sdk-token'],
  security: [{ session: [] }],
  querystring: sdkTokenQuery,
  documentedHeaders: conditionHeaders,
  response: { ...TOKEN_RESPONSES, ...problemResponses(READ_ERRORS, PROBLEM_EXAMPLES) },
};

const logOut = {
  operationId: 'logOut',
  summary: "The app's logout",
  description:
    "Forgets the terminal's token on every replica, also one that a renewal under way is about to bring. The vendor has " +
    'no call to revoke it. Idempotent: a terminal without a token is logged out just so.',
  tags: ['sdk-token'],
  security: [{ session: [] }],
  querystring: logOutQuery,
  response: {
    204: { description: 'There is no token any more.', headers: { 'X-Request-Id': requestId }, content: {} },
    ...problemResponses(LOG_OUT_ERRORS, PROBLEM_EXAMPLES),
  },
};

export interface SdkTokenRoutesOptions extends SubjectRules, SessionGuardOptions {
  readonly tokens: Pick<TokenBroker, 'read'>;
  readonly accounts: Pick<Accounts, 'logOut'>;
  /** Where reads are remembered, to answer those that are repeated. */
  readonly repeated: Pick<RepeatedReads, 'learn'>;
}

/** `GET /sdk-token` and `DELETE /sdk-token`. Both check the session and count the request before anything else of it is looked at. */
export async function sdkTokenRoutes(app: FastifyInstance, options: SdkTokenRoutesOptions): Promise<void> {
  const { tokens, accounts, repeated } = options;
  leaveBodiesUnread(app);
  requireSession(app, options);

  app.get<{ Querystring: z.infer<typeof sdkTokenQuery> }>('/sdk-token', { schema: getSdkToken }, (request, reply) => {
    const { caller, query } = request;
    const subject = requestedSubject(options, caller, query);
    const region = caller.region ?? query.regRegion;
    const id = subjectId(subject);
    repeated.learn(request.raw, caller, id);
    return answerToken(tokens, { subject, id, region, sessionIssuedAt: caller.issuedAt }, request, reply);
  });

  app.delete<{ Querystring: z.infer<typeof logOutQuery> }>('/sdk-token', { schema: logOut }, async (request, reply) => {
    await accounts.logOut(requestedSubject(options, request.caller, request.query));
    return reply.code(204).send();
  });
}
