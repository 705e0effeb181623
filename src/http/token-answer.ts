import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { BrokerError } from '../token/errors.ts';
import type { ServedToken, TOKEN_FIELDS } from '../token/sdk-token.ts';
import { emptyResponse, responseWithBody } from './documented-responses.ts';

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
  304: emptyResponse(
    'The token is still the one of the `ETag` that you sent. Never the answer to `Cache-Control: no-cache`.',
    'ETag',
    'Cache-Control',
  ),
};

/** The documentation of the request headers that a token read looks at. */
export const conditionHeaders = z.object({
  'If-None-Match': z.string().optional().meta({ description: 'The `ETag` of the token that the caller has.' }),
  'Cache-Control': z
    .string()
    .optional()
    .meta({ description: '`no-cache`: the SDK was refused with that token. Exactly one `ETag` is allowed then.' }),
});

/** The documentation of conditional token reads. */
export const CONDITIONS =
  'With `If-None-Match` and the current `ETag`, the answer is 304. `If-None-Match` together with ' +
  '`Cache-Control: no-cache` means that the SDK was refused with the token of that `ETag`. The answer is then a newer ' +
  'token, from a new login if there is none yet. **`fetch()`** in browsers, Node.js and React Native adds ' +
  '`Cache-Control: no-cache` to every request with `If-None-Match`, as its standard demands. Unless the token was ' +
  'refused, send `Cache-Control: max-age=0`, or leave `If-None-Match` out.';

/** The directive `no-cache` in a list (RFC 9111 §5.2.1.4). */
const NO_CACHE = /(?:^|,)\s*no-cache\s*(?:,|$)/i;
/** A strong or weak entity tag (RFC 9110 §8.8.3). */
const ENTITY_TAG = /^(?:W\/)?("[\x21\x23-\x7e\x80-\xff]*")$/;

/**
 * Whether `If-None-Match` matches the current token: it is `*`, or a list that contains the tag. The comparison is weak
 * (RFC 9110 §13.1.2).
 * @param etag a strong tag without a comma, because the list is split at commas
 */
export function noneMatchNames(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true;
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/**
 * The strong entity tag of the token that the vendor refused: `If-None-Match` together with `Cache-Control: no-cache`.
 * @returns `undefined` if the request reports no refused token
 * @throws BrokerError `request_invalid` if it does not name exactly one
 */
export function refusedTag(headers: IncomingHttpHeaders): string | undefined {
  const { 'if-none-match': ifNoneMatch, 'cache-control': cacheControl } = headers;
  if (ifNoneMatch === undefined || cacheControl === undefined || !NO_CACHE.test(cacheControl)) return undefined;
  const tag = ENTITY_TAG.exec(ifNoneMatch)?.[1];
  if (tag !== undefined) return tag;
  throw new BrokerError('request_invalid', {
    detail:
      'With Cache-Control: no-cache, If-None-Match names the refused token: exactly one entity tag is allowed, the ETag ' +
      'of that token',
  });
}

/**
 * Reads a token and answers with it, or with 304 if the caller already has it.
 * @param read reads a newer token than the one with the entity tag `refused`
 */
export async function answerToken(
  read: (refused: string | undefined) => Promise<ServedToken>,
  { headers }: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const refused = refusedTag(headers);
  const token = await read(refused);
  const { etag, body } = token;
  if (refused === undefined && noneMatchNames(headers['if-none-match'], etag)) {
    return reply.code(304).header('etag', etag).send();
  }
  return reply.headers({ ...TOKEN_HEADERS, etag, 'content-length': String(body.length) }).send(body);
}

/** The headers of an answer with a token, besides those of every answer, its entity tag and its length. */
export const TOKEN_HEADERS = {
  'cache-control': 'no-store',
  'content-type': 'application/json; charset=utf-8',
} as const;
