import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { PreparedLogin } from '../../../src/vendor-api/signed-call.ts';
import { recordingServer } from '../session/recording-server.ts';

export interface SeenRequest {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export type Answering = (response: ServerResponse, seen: SeenRequest, index: number) => void;

/** A loopback HTTP server that answers with `answering` and records its requests. It is closed after the test. */
export async function scriptedVendor(answering: Answering): Promise<{ url: URL; seen: SeenRequest[] }> {
  const seen: SeenRequest[] = [];
  const server = await recordingServer((_request, response, { url: path, body, ...head }) => {
    const entry = { ...head, path, body: Buffer.from(body) };
    answering(response, entry, seen.push(entry) - 1);
  });
  return { url: new URL(server.origin), seen };
}

/** Answers with `body`. */
export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Answering {
  return (response) => response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
}

export const DATA = {
  accessId: '-9223371996052586423',
  accessToken: '01816b0c9f',
  expireTime: 3600,
  terminalId: '-9223371996052586424',
  expand: '{"area":"cn","regRegion":"CN"}',
};

export const SUCCESS = { code: 0, msg: 'success', requestId: 'r-1', data: DATA };

/** Carries logins without a network: the first ones get these answers in turn, and all later ones a token. */
export function scriptedTransport(...answers: readonly object[]) {
  const sent: PreparedLogin[] = [];
  const post = async (request: PreparedLogin) => {
    const text = JSON.stringify(answers[sent.push(request) - 1] ?? SUCCESS);
    return { status: 200, text, dateHeader: undefined, retryAfter: undefined };
  };
  return { sent, transport: { post } };
}

/** Answers the first requests with these answers in turn, and all later ones with a token. */
export function inTurn(...answers: readonly Answering[]): Answering {
  return (response, seen, index) => (answers[index] ?? json(SUCCESS))(response, seen, index);
}
