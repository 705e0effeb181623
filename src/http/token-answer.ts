import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ReadRequest } from '../broker/read-request.ts';
import type { TokenBroker } from '../broker/token-broker.ts';
import type { ServedToken } from '../token/sdk-token.ts';
import { noneMatchNames, refusedTag } from './etag.ts';

/**
 * Reads a token and answers with it. 304 where the caller has it already, unless it says that the SDK was refused with
 * that one: then with the one in its place.
 */
export async function answerToken(
  tokens: Pick<TokenBroker, 'read'>,
  asked: Omit<ReadRequest, 'refused'>,
  { headers }: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const refused = refusedTag(headers);
  const served = await tokens.read(refused === undefined ? asked : { ...asked, refused });
  if (refused === undefined && noneMatchNames(headers['if-none-match'], served.etag)) {
    return reply.code(304).headers({ 'cache-control': NO_STORE, etag: served.etag }).send();
  }
  return reply.headers(tokenHeaders(served)).send(served.body);
}

const NO_STORE = 'no-store';

/** What an answer with this token carries, besides what every answer does. */
export function tokenHeaders({ etag, length }: Pick<ServedToken, 'etag' | 'length'>): Readonly<Record<string, string>> {
  return {
    'cache-control': NO_STORE,
    etag,
    'content-type': 'application/json; charset=utf-8',
    'content-length': length,
  };
}
