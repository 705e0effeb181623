import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';

export interface PlainAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface PlainRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs?: number;
}

/** Sends one HTTP request on a new connection, with exactly the given headers. `fetch` adds headers of its own. */
export async function plainRequest(url: string | URL, options: PlainRequest = {}): Promise<PlainAnswer> {
  const { method = 'GET', headers = {}, body, timeoutMs = 30_000 } = options;
  const outgoing = request(url, { method, headers, agent: false, signal: AbortSignal.timeout(timeoutMs) });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: await text(incoming) };
}
