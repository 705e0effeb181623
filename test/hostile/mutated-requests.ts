const FRAGMENTS = [
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: chunked, identity\r\n',
  'Transfer-Encoding : chunked\r\n',
  'Transfer-Encoding:\tchunked\r\n',
  'Content-Length: 0\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: -1\r\n',
  'Content-Length: 99999999999999999999\r\n',
  'Host: other\r\n',
  'Expect: 100-continue\r\n',
  'Expect: nothing\r\n',
  'Upgrade: h2c\r\nConnection: Upgrade\r\n',
  'Connection: close\r\n',
  'If-None-Match: *\r\n',
  'Content-Type: application/json\r\n',
  'Content-Type: text/plain; charset=\u00ff\r\n',
  'Content-Encoding: gzip\r\n',
  'X-Request-Id: <script>\r\n',
  'Authorization: Bearer a\r\n',
  'Cookie: a=b; a=c\r\n',
  'Range: bytes=0-1\r\n',
  `X-Long: ${'x'.repeat(17_000)}\r\n`,
  '\r\n',
  '\n',
  '\r',
  '\0',
  '\r\n\r\n',
  '0\r\n\r\n',
  'ffffffffffffffff\r\n',
  '5;a=b\r\nhello\r\n0\r\n\r\n',
  'HTTP/1.0',
  'HTTP/2.0',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'CONNECT broker:443',
  'OPTIONS *',
  'HEAD',
  'TRACE',
  'http://other/sdk-token',
  '//',
  '/../',
  '%00',
  '%ff',
  '%2e%2e%2f',
  '?uniqueId=a&uniqueId=b',
  '&refused=abc-_1',
  '&refused=*&refused="a"',
  '&regRegion=ZZ',
  '&app[__proto__]=x',
  '{"__proto__":{}}',
  '['.repeat(500),
  '"\\ud800"',
  '9'.repeat(400),
];

/** Changes up to four places of one of the requests. */
export function mutatedRequest(requests: readonly string[], random: () => number): string {
  const below = (count: number) => Math.floor(random() * count);
  const oneOf = (texts: readonly string[]) => texts[below(texts.length)] ?? '';
  let bytes = oneOf(requests);
  for (let left = 1 + below(4); left > 0; left--) {
    // Choose a line first. Otherwise most changes would be in the session, which is the longest part.
    const starts = [...bytes.matchAll(/^/gm)].map(({ index }) => index);
    const start = starts[below(starts.length)] ?? 0;
    const at = start + below(bytes.slice(start).search(/$/m) + 1);
    const end = at + below(20);
    const [before, piece, after] = [bytes.slice(0, at), bytes.slice(at, end), bytes.slice(end)];
    const lineStart = bytes.indexOf('\r\n', at) + 2;
    const mutations = [
      () => `${before}${String.fromCharCode(below(256))}${bytes.slice(at + 1)}`,
      () => before + after,
      () => before + piece + piece + after,
      () => before + oneOf(FRAGMENTS) + piece + after,
      () => bytes.slice(0, lineStart) + oneOf(FRAGMENTS) + bytes.slice(lineStart),
      () => bytes.slice(0, lineStart) + oneOf(FRAGMENTS) + bytes.slice(lineStart),
      () => before,
      () => bytes + oneOf(requests),
      () => before + oneOf(requests).slice(at),
    ];
    bytes = mutations[below(mutations.length)]?.() ?? bytes;
  }
  return bytes;
}
