import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { BrokerError } from '../../token/errors.ts';
import type { AdminTokens } from '../admin-access.ts';
import { consoleSessions } from '../console-sessions.ts';
import { problemResponses, responseWithBody } from '../documented-responses.ts';
import type { AppContext } from '../server/request-hooks.ts';
import { querySchema } from '../server/validation.ts';
import { serveFiles, staticFile } from './pages.ts';

const CONSOLE_FILES = {
  '/console/console.css': 'console/console.css',
  '/console/console.js': 'console/console.js',
  '/console/icon.svg': 'console/icon.svg',
};

/** The console links to the runbooks, and an operator in an outage may have no other copy. */
const RUNBOOKS = {
  '/console/runbooks/en': 'console/runbooks-en.html',
  '/console/runbooks/zh': 'console/runbooks-zh.html',
};

/** The page loads only its own files, asks only its own server, and cannot make HTML from text. */
const CONSOLE_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const NO_TOKEN = { detail: 'The console needs an admin token: set ADMIN_TOKEN or ADMIN_TOKENS' };
const NO_SESSION = { detail: 'This process has no such session of a console. Load the page again' };

const getConsole = {
  operationId: 'getConsole',
  summary: 'The console: a page for operators',
  description:
    'Shows what `GET /status` reports, and an account with its terminals. The page holds no data and needs no token: it ' +
    'asks for the token, and sends it once, encrypted for this process. Without an admin token in the configuration, ' +
    'there is no page.',
  tags: ['status'],
  response: {
    200: responseWithBody('The page.', {
      schema: z.string(),
      example: '<!doctype html>…',
      mediaType: 'text/html',
    }),
    ...problemResponses(['not_found', 'internal', 'shutting_down']),
  },
};

/** A call of the page has one id and little more. */
const CALL_LIMIT = 16 * 1_024;
const textOf = (pattern: RegExp, error: string) => z.string({ error }).regex(pattern, { error });
const numberedCall = querySchema({
  page: textOf(/^[0-9a-f]{130}$/, 'must be 130 hexadecimal digits'),
  number: textOf(/^\d{1,15}$/, 'must be a whole number').transform(Number),
});
const sealedCall = z.instanceof(Buffer, { error: 'must be a sealed call, as application/octet-stream' });
/** The content of a call. */
const call = z.object({
  method: z.enum(['GET', 'POST', 'DELETE']),
  /** Relative to the page. */
  path: z.string().regex(/^(status|accounts)([/?]|$)/),
  body: z.string().optional(),
  /** In the first call of a page. */
  token: z.string().optional(),
});

function callIn(text: string): z.infer<typeof call> {
  try {
    return call.parse(JSON.parse(text));
  } catch {
    throw new BrokerError('request_invalid', { detail: 'The page sends no such call' });
  }
}

export interface ConsoleRoutesOptions extends Pick<AppContext, 'closing'> {
  readonly adminTokens: Pick<AdminTokens, 'isEmpty' | 'callerOf'>;
}

/** `GET /console`, the files of the page, and its sealed calls. */
export const consoleRoutes: FastifyPluginAsyncZod<ConsoleRoutesOptions> = async (app, { adminTokens, closing }) => {
  const sessions = consoleSessions();
  // With the key in all addresses, a browser takes nothing from its cache that another program left there.
  const withKey = (html: Buffer) =>
    Buffer.from(
      html
        .toString()
        .replace('<html ', `<html data-broker="${sessions.publicKey}" `)
        .replaceAll(/ (?:href|src)="(?!#)[^"#]+/g, (address) => `${address}?broker=${sessions.publicKey}`),
    );
  const page = staticFile('console/console.html', withKey);
  app.get('/console', { schema: getConsole }, async (_request, reply) => {
    if (adminTokens.isEmpty) throw new BrokerError('not_found', NO_TOKEN);
    return page(reply.header('content-security-policy', CONSOLE_CSP));
  });
  if (adminTokens.isEmpty) return;
  serveFiles(app, CONSOLE_FILES);
  serveFiles(app, RUNBOOKS, { 'content-security-policy': CONSOLE_CSP }, withKey);

  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) => {
    done(null, body);
  });
  const schema = { hide: true, querystring: numberedCall, body: sealedCall };
  app.post('/console/calls', { schema, bodyLimit: CALL_LIMIT }, async (request) => {
    // Fastify injects no request then.
    if (closing.aborted) throw new BrokerError('shutting_down', { retryAfter: 1 });
    const { page, number } = request.query;
    const opened = sessions.open(page, number, request.body);
    if (!opened) throw new BrokerError('session_invalid', NO_SESSION);
    const { method, path, body: payload, token: sent = '' } = callIn(opened.text);
    const token = opened.token ?? sent;
    const isSignIn = opened.token === undefined && adminTokens.callerOf(token) !== undefined;
    const session = isSignIn ? opened.start(token) : undefined;
    // As if the page had sent it with the token: the token is checked again, and the call leaves its audit line.
    const answer = await app.inject({
      method,
      url: `/${path}`,
      headers: {
        authorization: `Bearer ${token}`,
        'x-request-id': request.id,
        ...(payload !== undefined && { 'content-type': 'application/json' }),
      },
      ...(payload !== undefined && { payload }),
    });
    const retryAfter = Number(answer.headers['retry-after'] ?? 1);
    return opened.seal(JSON.stringify({ status: answer.statusCode, retryAfter, text: answer.payload, session }));
  });
};
