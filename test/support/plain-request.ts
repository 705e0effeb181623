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

/**
 * One HTTP request on a connection of its own, with exactly the headers given. Not `fetch`: that one adds
 * `Cache-Control: no-cache` to every `If-None-Match` (Fetch standard, "HTTP-network-or-cache fetch"), which tells the
 * broker that the token was refused.
 */
export async function plainRequest(url: string | URL, options: PlainRequest = {}): Promise<PlainAnswer> {
  const { method = 'GET', headers = {}, body, timeoutMs = 30_000 } = options;
  const outgoing = request(url, { method, headers, agent: false, signal: AbortSignal.timeout(timeoutMs) });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: await text(incoming) };
}
