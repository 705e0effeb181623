import type { RequestListener } from 'node:http';
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
  'an exp that is not a number': answered('{"active":true,"sub":"u-1","exp":"2026-01-01T00:01:00Z"}'),
};

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

  it('while the server is down; after its return, the session is accepted', async () => {
    await server().stop();
    await expectUnavailable();
    await server().start();
    await expectAccepted();
  });
}

function answered(body: string): RequestListener {
  return (_request, response) => response.setHeader('content-type', 'application/json').end(body);
}
