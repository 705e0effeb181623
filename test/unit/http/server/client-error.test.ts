import { describe, expect, it } from 'vitest';
import { startApp } from '../running-app.ts';

function parse(answer: string) {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  const [status = '', ...lines] = head.split('\r\n');
  return {
    status,
    headers: Object.fromEntries(lines.map((line) => line.split(': '))),
    problem: JSON.parse(body),
    body,
  };
}

describe('a request that is not valid HTTP', () => {
  it.each([
    ['headers above the limit', `GET /livez HTTP/1.1\r\nHost: x\r\nX-Canary: ${'c'.repeat(20_000)}\r\n\r\n`, '16 KiB'],
    ['bytes that are not HTTP', 'canary\r\n\r\n', 'not HTTP/1.1'],
    ['an unknown method', 'CANARY / HTTP/1.1\r\nHost: x\r\n\r\n', 'not HTTP/1.1'],
    ['CONNECT', 'CONNECT canary:443 HTTP/1.1\r\nHost: x\r\n\r\n', 'CONNECT is not allowed'],
    [
      'more than 100 header lines',
      `GET /livez HTTP/1.1\r\nHost: x\r\n${'x: canary\r\n'.repeat(100)}\r\n`,
      '100 header lines',
    ],
    [
      'two Content-Length headers',
      'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      'not HTTP/1.1',
    ],
    [
      'a transfer coding in HTTP/1.0',
      'GET /livez HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'not HTTP/1.1',
    ],
  ])('gets a complete problem, and the connection closes: %s', async (_what, request, detail) => {
    const { raw } = await startApp();
    const { status, headers, problem, body } = parse(await raw(request));
    expect(status).toBe('HTTP/1.1 400 Bad Request');
    expect(headers).toMatchObject({
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      'content-length': String(Buffer.byteLength(body)),
      'x-request-id': problem.requestId,
      connection: 'close',
    });
    expect(problem).toMatchObject({ code: 'request_invalid', status: 400, detail: expect.stringContaining(detail) });
    expect(body.toLowerCase()).not.toContain('canary');
  });

  it('is logged at debug with its code, without the packet', async () => {
    const { raw, log } = await startApp({ logLevel: 'debug' });
    const { problem } = parse(await raw('canary\r\n\r\n'));
    const { level, time, pid, hostname, ...rest } = log().at(-1) ?? {};
    expect(level).toBe(20);
    expect(rest).toEqual({ requestId: problem.requestId, code: 'HPE_INVALID_METHOD', msg: 'unreadable request' });
  });
});
