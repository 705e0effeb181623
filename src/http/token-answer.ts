import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ReadRequest } from '../broker/read-request.ts';
import type { TokenBroker } from '../broker/token-broker.ts';
import type { ServedToken } from '../token/sdk-token.ts';
import { type Soon, whenThere } from '../token/soon.ts';
import { noneMatchNames, refusedTag } from './etag.ts';

/**
 * Reads a token and answers with it. 304 where the caller has it already, unless it says that the SDK was refused with
 * that one: then with the one in its place.
 */
export function answerToken(
  tokens: Pick<TokenBroker, 'read'>,
  { subject, region, sessionIssuedAt }: Omit<ReadRequest, 'refused'>,
  { headers }: FastifyRequest,
  reply: FastifyReply,
): Soon<void> {
  const refused = refusedTag(headers);
  const answer = ({ body, etag }: ServedToken): void => {
    reply.header('cache-control', 'no-store').header('etag', etag);
    if (refused === undefined && noneMatchNames(headers['if-none-match'], etag)) reply.code(304).send();
    else reply.header('content-type', 'application/json; charset=utf-8').send(body);
  };
  return whenThere(tokens.read({ subject, region, sessionIssuedAt, refused }), answer);
}
