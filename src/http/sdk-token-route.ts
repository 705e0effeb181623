import type { FastifyInstance } from 'fastify';
import { BrokerError, ERRORS, type ErrorCode } from '../token/errors.ts';
import type { SessionVerifier } from '../token/ports.ts';
import type { ServedToken } from '../token/sdk-token.ts';
import type { Subject } from '../token/subject.ts';
import { bearerToken } from './bearer.ts';
import { problemResponses, RESPONSE_HEADERS } from './documented-response.ts';
import { noneMatchNames } from './etag.ts';
import { sdkToken, sdkTokenQuery } from './schemas.ts';
import { checkSdkTokenQuery, SDK_TOKEN_RULES } from './sdk-token-query.ts';

export interface SdkTokenRouteOptions {
  /** The broker. @param region the session's or the app's idea of the account's country */
  readonly tokens: { read(subject: Subject, region: string | undefined): Promise<ServedToken> };
  readonly sessions: SessionVerifier;
  /** Names of the configured apps, at least one. A request may leave its app out where there is only one. */
  readonly apps: readonly string[];
}

const { 'X-Request-Id': requestId, ETag: etag, 'Cache-Control': cacheControl } = RESPONSE_HEADERS;
const headers = { 'X-Request-Id': requestId, ETag: etag, 'Cache-Control': cacheControl };

const ERROR_CODES = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => code !== 'not_found');

const EXAMPLE_TOKEN = {
  accessId: '-9223371996052586423',
  accessToken: '0181a5b0c1d2e3f4',
  expireTime: '1699349988',
  terminalId: '-9223371996052586423',
  expand: '{"area":"cn","regRegion":"CN"}',
  expend: '{"area":"cn","regRegion":"CN"}',
};

const schema = {
  operationId: 'getSdkToken',
  summary: "The terminal's SDK token",
  description:
    'Logs in to the vendor where there is no valid token yet. All values are strings, to be fed straight to the SDK. ' +
    'With `If-None-Match` and the current `ETag` the answer is 304.',
  tags: ['sdk-token'],
  security: [{ session: [] }],
  querystring: sdkTokenQuery,
  response: {
    200: {
      description: 'The token.',
      headers,
      content: { 'application/json': { schema: sdkToken, examples: { token: { value: EXAMPLE_TOKEN } } } },
    },
    304: { description: 'The token is the one whose ETag you sent.', headers, content: {} },
    ...problemResponses(ERROR_CODES, {
      request_invalid: { detail: `uniqueId must be ${SDK_TOKEN_RULES.uniqueId.allowed}` },
      vendor_rejected: { vendorCode: 10016 },
    }),
  },
};

/** `GET /sdk-token`: who is it, what do they ask for, hand out the token. */
export async function sdkTokenRoute(app: FastifyInstance, options: SdkTokenRouteOptions): Promise<void> {
  const { tokens, sessions, apps } = options;
  const onlyApp = apps.length === 1 ? apps[0] : undefined;

  app.get('/sdk-token', {
    schema,
    // The query's schema documents it; the handler checks it, once it knows who is asking.
    validatorCompiler: () => () => true,
    handler: async (request, reply) => {
      const principal = await sessions.verify(bearerToken(request.headers.authorization));
      const { uniqueId, regRegion, app = onlyApp } = checkSdkTokenQuery(request.query as Record<string, unknown>);
      if (app === undefined || !apps.includes(app)) {
        throw new BrokerError('request_invalid', { detail: `app must be one of: ${apps.join(', ')}` });
      }
      const subject = { app, unionId: principal.unionId, uniqueId };
      const { body, etag } = await tokens.read(subject, principal.region ?? regRegion);
      reply.header('cache-control', 'no-store').header('etag', etag);
      if (noneMatchNames(request.headers['if-none-match'], etag)) return reply.code(304).send();
      return reply.header('content-type', 'application/json; charset=utf-8').send(body);
    },
  });
}
