import type { RequestListener } from 'node:http';

/** What a session server may answer that is no verdict on a session, by a name for it. */
export const FAULTS: Readonly<Record<string, RequestListener>> = {
  ...Object.fromEntries(
    [300, 302, 307, 400, 404, 405, 429, 500, 502, 503].map((status): [string, RequestListener] => [
      `the status ${status}`,
      (_request, response) => response.writeHead(status, { location: '/elsewhere' }).end('{"active":false}'),
    ]),
  ),
  'no content': (_request, response) => response.writeHead(204).end(),
  'nothing at all': (_request, response) => response.end(),
  'a page': answered('<html>Please log in</html>'),
  'half an object': answered('{"active":true,'),
  'a list': answered('[{"active":true}]'),
  'a string': answered('"active"'),
  null: answered('null'),
  'text that is not UTF-8': answered(Buffer.from('{"active":true,"sub":"m\xfcller"}', 'latin1')),
  'more than 64 KiB': answered(JSON.stringify({ active: true, sub: 'u-1', padding: 'p'.repeat(65_536) })),
  'an exp that is no number': answered('{"active":true,"sub":"u-1","exp":"1767225660"}'),
  'an end in the middle': (_request, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('{"active":', () => response.destroy());
  },
  'no end': (_request, response) => {
    const more = () => {
      while (!response.destroyed && response.write(' '.repeat(65_536)));
    };
    response.on('drain', more);
    more();
  },
};

/** The same, each of which takes all the time there is. */
export const STALLS: readonly RequestListener[] = [
  () => undefined,
  (_request, response) => void response.write('{"active":'),
];

function answered(body: string | Buffer): RequestListener {
  return (_request, response) => response.setHeader('content-type', 'application/json').end(body);
}
