import type { Socket } from 'node:net';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** The bundle holds these files in dist/static/ (scripts/build.mjs), next to dist/lib/ where this code is then. */
const isBundled = !import.meta.url.endsWith('.ts');
const OPENAPI_FOLDER = isBundled ? '../static/' : '../../../openapi/';
const SWAGGER_UI_FOLDER = isBundled ? '../static/' : '../../../node_modules/@fastify/swagger-ui/static/';

const STYLES = ['swagger-ui.css', 'index.css'];
const ICON = 'favicon-32x32.png';
const SCRIPTS = ['swagger-ui-bundle.js', 'swagger-ui-standalone-preset.js'];
const INITIALIZER = 'swagger-initializer.js';

/** Swagger UI needs inline styles and data: images. Everything else comes from this server. */
const PAGE_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** @param base the path of /docs as the page must write it */
function page(base: string): string {
  const style = (file: string) => `<link rel="stylesheet" href="${base}/static/${file}">`;
  const script = (file: string) => `<script src="${base}/static/${file}"></script>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>sdk-token-broker</title>
${STYLES.map(style).join('\n')}
<link rel="icon" type="image/png" href="${base}/static/${ICON}">
</head>
<body>
<div id="swagger-ui"></div>
${[...SCRIPTS, INITIALIZER].map(script).join('\n')}
</body>
</html>
`;
}

/** Runs in the browser. */
const INITIALIZER_SCRIPT = `window.onload = () => {
  SwaggerUIBundle({
    url: location.pathname.replace(/\\/$/, '') + '/json',
    dom_id: '#swagger-ui',
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl],
    layout: 'StandaloneLayout',
    validatorUrl: null,
  });
};
`;

/** `GET /openapi.json`: the committed OpenAPI document of the public API. `GET /docs`: Swagger UI, which shows it. */
export async function docsRoutes(app: FastifyInstance): Promise<void> {
  const options = { schema: { hide: true } };

  for (const path of ['/docs', '/docs/']) {
    // Relative URLs work behind a proxy that adds a prefix, but only the second path ends where they start.
    const html = page(path.endsWith('/') ? '.' : path);
    app.get(path, options, async (_request, reply) =>
      reply.header('content-security-policy', PAGE_CSP).type('text/html; charset=utf-8').send(html),
    );
  }
  app.get(`/docs/static/${INITIALIZER}`, options, async (_request, reply) =>
    reply.type('text/javascript; charset=utf-8').send(INITIALIZER_SCRIPT),
  );

  const openApiFile = new URL(`${OPENAPI_FOLDER}openapi.json`, import.meta.url);
  const files = new Map([
    ['/openapi.json', openApiFile],
    ['/docs/json', openApiFile],
  ]);
  for (const file of [...STYLES, ICON, ...SCRIPTS]) {
    files.set(`/docs/static/${file}`, new URL(SWAGGER_UI_FOLDER + file, import.meta.url));
  }
  for (const [path, file] of files) {
    app.get(path, options, (request, reply) => sendFile(file, request, reply));
  }
}

/** Sends a file, or the range of it that the request asks for. Loads its library at the first call, to keep the start short. */
async function sendFile(file: URL, { raw }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { default: send } = await import('@fastify/send');
  const sent = await send(raw, basename(file.pathname), { root: fileURLToPath(new URL('.', file)) });
  if (sent.type === 'error') throw sent.metadata.error;
  closeWith(raw.socket, sent.stream);
  return reply.code(sent.statusCode).headers(sent.headers).send(sent.stream);
}

/** The files that wait to be sent over each connection. */
const waiting = new WeakMap<Socket, Set<Readable>>();

/**
 * Closes the file when the connection ends. Node.js does not tell an answer that waits behind others that its connection
 * has ended, so Fastify would leave the file open for ever.
 */
function closeWith(socket: Socket, file: Readable): void {
  const files = waiting.get(socket) ?? new Set();
  if (!waiting.has(socket)) {
    waiting.set(socket, files);
    socket.once('close', () => {
      for (const one of files) one.destroy();
    });
  }
  files.add(file);
  file.once('close', () => files.delete(file));
  if (socket.destroyed) file.destroy();
}
