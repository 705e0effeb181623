import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ReadRequest } from '../broker/read-request.ts';
import type { TokenBroker } from '../broker/token-broker.ts';
import { noneMatchNames, refusedTag } from './etag.ts';

/**
 * Reads a token and answers with it. 304 where the caller has it already, unless it says that the SDK was refused with
 * that one: then with the one in its place.
 */
export async function answerToken(
  tokens: Pick<TokenBroker, 'read'>,
  { subject, region, sessionIssuedAt }: Omit<ReadRequest, 'refused'>,
  { headers }: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const refused = refusedTag(headers);
  const { body, etag } = await tokens.read({ subject, region, sessionIssuedAt, refused });
  reply.header('cache-control', 'no-store').header('etag', etag);
  if (refused === undefined && noneMatchNames(headers['if-none-match'], etag)) return reply.code(304).send();
  return reply.header('content-type', 'application/json; charset=utf-8').send(body);
}
