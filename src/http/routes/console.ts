import { readFile } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import { BrokerError } from '../../token/errors.ts';
import type { AdminTokens } from '../admin-access.ts';
import { problemResponses, responseWithBody } from '../documented-responses.ts';

/** scripts/build.mjs writes the page from console/. From source, the page of the last build is served. */
const isBundled = !import.meta.url.endsWith('.ts');
const FOLDER = new URL(isBundled ? '../static/console/' : '../../../dist/static/console/', import.meta.url);

const ASSETS = {
  'console.css': 'text/css; charset=utf-8',
  'console.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
} as const;

/** The page loads only its own files, asks only its own server, and cannot make HTML from text. */
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

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
    ...problemResponses(['not_found', 'internal', 'shutting_down'], {
      not_found: { detail: 'The console needs an admin token: set ADMIN_TOKEN or ADMIN_TOKENS' },
    }),
  },
};

export interface ConsoleRoutesOptions {
  readonly adminTokens: Pick<AdminTokens, 'isEmpty'>;
}

/** `GET /console`, and the files of the page. They hold no data, so they need no token. */
export async function consoleRoutes(app: FastifyInstance, { adminTokens }: ConsoleRoutesOptions): Promise<void> {
  const files = new Map<string, Buffer>();
  const read = async (name: string): Promise<Buffer> => {
    const file = files.get(name) ?? (await readFile(new URL(name, FOLDER)));
    files.set(name, file);
    return file;
  };

  app.get('/console', { schema: getConsole }, async (_request, reply) => {
    if (adminTokens.isEmpty) {
      throw new BrokerError('not_found', {
        detail: 'The console needs an admin token: set ADMIN_TOKEN or ADMIN_TOKENS',
      });
    }
    return reply
      .headers({ 'content-security-policy': CSP, 'cache-control': 'no-store' })
      .type('text/html; charset=utf-8')
      .send(await read('console.html'));
  });
  if (adminTokens.isEmpty) return;
  for (const [name, type] of Object.entries(ASSETS)) {
    app.get(`/console/${name}`, { schema: { hide: true } }, async (_request, reply) =>
      reply
        .header('cache-control', 'no-cache')
        .type(type)
        .send(await read(name)),
    );
  }
}
