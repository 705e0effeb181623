import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { FastifyInstance, FastifyReply } from 'fastify';
import * as z from 'zod';
import { BrokerError } from '../../token/errors.ts';
import type { AdminTokens } from '../admin-access.ts';
import { problemResponses, responseWithBody } from '../documented-responses.ts';

/**
 * scripts/build.mjs writes the files to dist/static/, next to dist/lib/ where this code is then. From source, those of the
 * last build are used.
 */
const isBundled = !import.meta.url.endsWith('.ts');
const FOLDER = new URL(isBundled ? '../static/' : '../../../dist/static/', import.meta.url);

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
};

/** The content of a file of dist/static/. */
export function readStaticFile(name: string): Buffer {
  return readFileSync(new URL(name, FOLDER));
}

/**
 * Returns the function that answers with a file of dist/static/. It reads the file once, at its first call, so that unsent
 * answers take no memory and no descriptor each.
 */
function staticFile(name: string): (reply: FastifyReply) => FastifyReply {
  let file: Buffer | undefined;
  return (reply) => {
    file ??= readStaticFile(name);
    return reply.type(TYPES[extname(name)] ?? '').send(file);
  };
}

/** @param files names in dist/static/ by path */
function serveFiles(app: FastifyInstance, files: Readonly<Record<string, string>>): void {
  for (const [path, name] of Object.entries(files)) {
    const file = staticFile(name);
    app.get(path, { schema: { hide: true } }, async (_request, reply) =>
      file(reply.header('cache-control', 'no-cache')),
    );
  }
}

/** Swagger UI needs inline styles and data: images. Everything else comes from this server. */
const DOCS_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The page names its files relative to its own path, so it works behind a proxy that adds a prefix. */
const DOCS_FILES = {
  '/docs/docs.js': 'docs.js',
  '/docs/favicon-32x32.png': 'favicon-32x32.png',
  '/docs/index.css': 'index.css',
  '/docs/swagger-ui-bundle.js': 'swagger-ui-bundle.js',
  '/docs/swagger-ui.css': 'swagger-ui.css',
  '/openapi.json': 'openapi.json',
};

/** `GET /openapi.json`: the committed OpenAPI document of the public API. `GET /docs`: Swagger UI, which shows it. */
export async function docsRoutes(app: FastifyInstance): Promise<void> {
  const page = staticFile('docs.html');
  app.get('/docs', { schema: { hide: true } }, async (_request, reply) =>
    page(reply.header('content-security-policy', DOCS_CSP)),
  );
  serveFiles(app, DOCS_FILES);
}

const CONSOLE_FILES = {
  '/console/console.css': 'console/console.css',
  '/console/console.js': 'console/console.js',
  '/console/icon.svg': 'console/icon.svg',
};

/** The page loads only its own files, asks only its own server, and cannot make HTML from text. */
const CONSOLE_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const NO_TOKEN = { detail: 'The console needs an admin token: set ADMIN_TOKEN or ADMIN_TOKENS' };

const getConsole = {
  operationId: 'getConsole',
  summary: 'The console: a page for operators',
  description:
    'Shows what `GET /status` reports, and an account with its terminals. The page holds no data and needs no token: it ' +
    'asks for the token, and sends it with each call. Without an admin token in the configuration, there is no page.',
  tags: ['status'],
  security: [],
  response: {
    200: responseWithBody('The page.', {
      schema: z.string(),
      example: '<!doctype html>…',
      mediaType: 'text/html',
    }),
    ...problemResponses(['not_found', 'internal', 'shutting_down'], { not_found: NO_TOKEN }),
  },
};

export interface ConsoleRoutesOptions {
  readonly adminTokens: Pick<AdminTokens, 'isEmpty'>;
}

/** `GET /console`, and the files of the page. They hold no data, so they need no token. */
export async function consoleRoutes(app: FastifyInstance, { adminTokens }: ConsoleRoutesOptions): Promise<void> {
  const page = staticFile('console/console.html');
  app.get('/console', { schema: getConsole }, async (_request, reply) => {
    if (adminTokens.isEmpty) throw new BrokerError('not_found', NO_TOKEN);
    return page(reply.headers({ 'content-security-policy': CONSOLE_CSP, 'cache-control': 'no-store' }));
  });
  if (!adminTokens.isEmpty) serveFiles(app, CONSOLE_FILES);
}
