import type { FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod';
import type { ServedToken, TOKEN_FIELDS } from '../token/sdk-token.ts';
import { emptyResponse, responseWithBody } from './documented-responses.ts';
import { queryParameter } from './server/validation.ts';

const sdkToken = z
  .object({
    accessId: z.string(),
    accessToken: z.string().meta({ description: 'Opaque, and a secret.' }),
    expireTime: z.string().meta({ description: 'Epoch seconds.' }),
    terminalId: z.string(),
    expand: z.string().meta({ description: 'JSON, byte for byte as the vendor sent it.' }),
    expend: z.string().meta({ description: 'The same as `expand`, under the name that the SDK uses.' }),
  } satisfies Record<(typeof TOKEN_FIELDS)[number], z.ZodString>)
  .catchall(z.string())
  .meta({ id: 'SdkToken', description: 'The credential of the SDK, with every other field of the vendor login.' });

const EXAMPLE: z.infer<typeof sdkToken> = {
  accessId: '-9223371996052586423',
  accessToken: '0181a5b0c1d2e3f4',
  expireTime: '1699349988',
  terminalId: '-9223371996052586423',
  expand: '{"area":"cn","regRegion":"CN"}',
  expend: '{"area":"cn","regRegion":"CN"}',
};

/** The documentation of the successful answers to a token read. */
export const TOKEN_RESPONSES = {
  200: responseWithBody('The token.', { schema: sdkToken, example: EXAMPLE }, 'ETag'),
  304: emptyResponse('You have this token: its `ETag` is the one that you sent.', 'ETag', 'Cache-Control'),
};

/** The documentation of the request headers that a token read looks at. */
export const conditionHeaders = z.object({
  'If-None-Match': z
    .string()
    .optional()
    .meta({ description: 'The `ETag` of the token that you have. If it is the present one, the answer is 304.' }),
});

/** The query parameter that reports a refused token. Its value becomes the entity tag, as the header `ETag` has it. */
export const refused = queryParameter(
  /^[A-Za-z0-9_-]{1,64}$/,
  'the ETag of the refused token without its quotation marks, 1 to 64 of the characters A-Z a-z 0-9 _ -',
  'The SDK was refused with this token. If it is the present one, the broker logs in again. If there is a newer one, the answer is that one.',
).transform((tag) => tag && `"${tag}"`);

/** Compares `*` or a list of tags weakly (RFC 9110 §13.1.2). @param etag strong, without a comma, which splits lists */
export function noneMatchNames(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true;
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/** Answers with the token, or with 304 if the caller already has it. */
export function answerToken(
  { etag, body }: ServedToken,
  { headers }: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  if (noneMatchNames(headers['if-none-match'], etag)) return reply.code(304).header('etag', etag).send();
  return reply.headers({ ...TOKEN_HEADERS, etag, 'content-length': String(body.length) }).send(body);
}

/** The headers of an answer with a token, besides those of every answer, its entity tag and its length. */
export const TOKEN_HEADERS = {
  'cache-control': 'no-store',
  'content-type': 'application/json; charset=utf-8',
} as const;
