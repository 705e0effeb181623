// The upper limit: Fastify sends a fixed body with fixed headers, without any check or lookup.
import fastify from 'fastify';

const headers = JSON.parse(process.env['ANSWER_HEADERS'] ?? '{}') as Record<string, string>;
const body = Buffer.from(process.env['ANSWER_BODY'] ?? '');
const app = fastify();
app.get('/readyz', () => ({ status: 'ok' }));
app.get('/sdk-token', (_request, reply) => {
  reply.headers(headers).send(body);
});
await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT']) });
