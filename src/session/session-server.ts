import { isUtf8 } from 'node:buffer';
import { BrokerError } from '../token/errors.ts';

const RETRY_AFTER_SECONDS = 2;

/** What to throw when a session cannot be checked, which is no verdict on it. @param cause for the log; nothing secret */
export function checkUnavailable(cause: unknown): BrokerError {
  return new BrokerError('session_check_unavailable', { retryAfter: RETRY_AFTER_SECONDS, cause });
}

/** A session server answered with another HTTP status than 200, which is no verdict on a session. */
export class UnexpectedStatus extends Error {
  override readonly name = 'UnexpectedStatus';
  readonly status: number;

  /** @param whose the URL that answered, as the beginning of a sentence */
  constructor(whose: string, status: number) {
    super(`${whose} answered ${status} instead of 200`);
    this.status = status;
  }
}

/** From connect to last byte. */
const TIMEOUT_MS = 3_000;

/**
 * Fetches text of at most `maxBytes`, decompressed, within 3 s in all. Redirects are not followed. The answer has been
 * read in whole, whatever its status.
 * @throws Error when it cannot be had, is too large or is not UTF-8
 */
export async function boundedFetch(url: string | URL, request: RequestInit, maxBytes: number): Promise<Response> {
  const answer = await fetch(url, { ...request, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body ?? []) {
    length += chunk.byteLength;
    if (length > maxBytes) throw new RangeError(`The answer may have at most ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  // Lenient decoding would turn different names in another encoding into the same replacement characters.
  if (!isUtf8(body)) throw new TypeError('The answer must be UTF-8');
  // A status without content, such as 204, allows not even an empty body.
  return new Response(length > 0 ? body : null, { status: answer.status, headers: answer.headers });
}
