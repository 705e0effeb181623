import type { IncomingMessage, ServerResponse } from 'node:http';

const BODY_LIMIT = 65_536;

/** A request that cannot be taken, with what is allowed; answered as 4xx `{"error"}`. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';
  readonly status: number;

  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}

/** @throws BadRequest past 64 KiB; the rest is read all the same, so that the caller hears of it */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= BODY_LIMIT) chunks.push(chunk);
  }
  if (length > BODY_LIMIT) throw new BadRequest(`the body may have at most ${BODY_LIMIT} bytes`, 413);
  return Buffer.concat(chunks);
}

/** @throws BadRequest */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request);
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new BadRequest('the body must be JSON');
  }
}

export function sendJson(response: ServerResponse, value: unknown, status = 200, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
}
