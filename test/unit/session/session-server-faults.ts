import type { RequestListener } from 'node:http';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import type { RecordingServer } from './recording-server.ts';

/** Answers of a session server that neither accept nor refuse a session. */
const FAULTS: Readonly<Record<string, RequestListener>> = {
  ...Object.fromEntries(
    [300, 302, 307, 400, 404, 405, 429, 500, 502, 503].map((status): [string, RequestListener] => [
      `the status ${status}`,
      (_request, response) => response.writeHead(status, { location: '/elsewhere' }).end('{"active":false}'),
    ]),
  ),
  'no content': (_request, response) => response.writeHead(204).end(),
  'an empty body': (_request, response) => response.end(),
  'an HTML page': answered('<html>Please log in</html>'),
  'half an object': answered('{"active":true,'),
  'a list': answered('[{"active":true}]'),
  'a string': answered('"active"'),
  null: answered('null'),
  'text that is not UTF-8': answered(Buffer.from('{"active":true,"sub":"m\xfcller"}', 'latin1')),
  'compressed, which nobody asked for': (_request, response) =>
    response.setHeader('content-encoding', 'gzip').end(gzipSync('{"active":true,"sub":"u-1"}')),
  'more than 64 KiB': answered(JSON.stringify({ active: true, sub: 'u-1', padding: 'p'.repeat(65_536) })),
  'an exp that is not a number': answered('{"active":true,"sub":"u-1","exp":"2026-01-01T00:01:00Z"}'),
  'cut off in the middle': (_request, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('{"active":', () => response.destroy());
  },
  endless: (_request, response) => {
    const more = () => {
      while (!response.destroyed && response.write(' '.repeat(65_536)));
    };
    response.on('drain', more);
    more();
  },
};

/** Servers that do not answer, or stop in the middle of the answer. */
const STALLS: readonly RequestListener[] = [() => undefined, (_request, response) => void response.write('{"active":')];

/** Tests that a fault of the session server neither accepts nor refuses a session. */
export function itIsUnavailable(
  server: () => RecordingServer,
  expectUnavailable: () => Promise<void>,
  expectAccepted: () => Promise<void>,
): void {
  it.each(Object.entries(FAULTS))('if the answer is %s', async (_name, answer) => {
    server().answer = answer;
    await expectUnavailable();
    expect(server().received).toHaveLength(1);
  });

  it('if the server does not answer, or stops in the middle of the answer', async () => {
    const stalls = STALLS.values();
    server().answer = (request, response) => stalls.next().value?.(request, response);
    await Promise.all(STALLS.map(expectUnavailable));
    expect(server().received).toHaveLength(STALLS.length);
  });

  it('while the server is down; after its return, the session is accepted', async () => {
    await server().stop();
    await expectUnavailable();
    await server().start();
    await expectAccepted();
  });
}

function answered(body: string | Buffer): RequestListener {
  return (_request, response) => response.setHeader('content-type', 'application/json').end(body);
}
