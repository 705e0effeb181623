import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { BrokerError } from '../../token/errors.ts';
import { endSoon } from '../server/connections.ts';
import { noneMatchNames } from '../token-answer.ts';

/** scripts/build.mjs writes dist/static/ next to this code in dist/lib/. Source code uses those of the last build. */
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

/** Answers with a file of dist/static/, read at the first call: unsent answers take no memory or descriptor each. */
export function staticFile(name: string, change = (file: Buffer) => file): (reply: FastifyReply) => FastifyReply {
  let file: Buffer | undefined;
  return (reply) => {
    file ??= change(readStaticFile(name));
    return reply.type(TYPES[extname(name)] ?? '').send(file);
  };
}

/** @param files names in dist/static/ by path @param headers of the answers, besides those of every file */
export function serveFiles(
  app: FastifyInstance,
  files: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
  change?: (file: Buffer) => Buffer,
): void {
  for (const [path, name] of Object.entries(files)) {
    const file = staticFile(name, change);
    app.get(path, { schema: { hide: true } }, async (_request, reply) =>
      file(reply.headers({ 'cache-control': 'no-cache', ...headers })),
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
  '/openapi.json': 'openapi.json',
};

/** Compressed by scripts/build.mjs. Only browsers load them, and all of those accept gzip. */
const LARGE_DOCS_FILES = ['swagger-ui-bundle.js', 'swagger-ui.css'];
/** Unread answers with such a file. The system takes a whole file, so one counts until its connection is closed. */
const MAX_UNREAD = 16;

/** `GET /openapi.json`: the committed OpenAPI document of the public API. `GET /docs`: Swagger UI, which shows it. */
export async function docsRoutes(app: FastifyInstance): Promise<void> {
  serveFiles(app, { '/docs': 'docs.html' }, { 'cache-control': 'no-store', 'content-security-policy': DOCS_CSP });
  serveFiles(app, DOCS_FILES);
  let unread = 0;
  for (const name of LARGE_DOCS_FILES) {
    const file = readStaticFile(`${name}.gz`);
    const etag = `"${hash('sha256', file, 'base64url')}"`;
    const headers = { 'cache-control': 'no-cache', 'content-encoding': 'gzip', etag };
    app.get(`/docs/${name}`, { schema: { hide: true } }, async ({ headers: sent, raw: { socket } }, reply) => {
      reply.headers(headers).type(TYPES[extname(name)] ?? '');
      if (noneMatchNames(sent['if-none-match'], etag)) return reply.code(304).send();
      if (unread >= MAX_UNREAD) {
        throw new BrokerError('rate_limited', { detail: `${MAX_UNREAD} callers load such files now`, retryAfter: 1 });
      }
      unread += 1;
      socket.once('close', () => {
        unread -= 1;
      });
      reply.raw.shouldKeepAlive = false;
      reply.raw.prependOnceListener('finish', () => endSoon(socket, '', true));
      return reply.send(file);
    });
  }
}
