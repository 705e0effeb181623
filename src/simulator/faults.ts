import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Refusal } from './refusal.ts';

/** What can befall a login that passed every check. */
export const FAULTS = [
  'none',
  'http-500',
  'reset',
  'hang',
  'html',
  'cut-off',
  'endless',
  'no-token',
  'past-expiry',
  'maintenance',
  'too-frequent',
  'account-closed',
  'frozen-app',
] as const;
export type Fault = (typeof FAULTS)[number];

/** Seconds the `too-frequent` fault asks its caller to wait. */
const RETRY_AFTER_SECONDS = '2';

/** Faults that are a refusal like any other; the login does not take effect. */
export function refusalBy(fault: Fault): Refusal | undefined {
  switch (fault) {
    case 'maintenance':
      return new Refusal('maintenance', 'system maintenance');
    case 'too-frequent':
      return new Refusal('tooFrequent', 'request too frequent', {
        status: 429,
        headers: { 'retry-after': RETRY_AFTER_SECONDS },
      });
    case 'account-closed':
      return new Refusal('accountClosed', 'account closed');
    case 'frozen-app':
      return new Refusal('appFrozen', 'app frozen');
    default:
      return undefined;
  }
}

/**
 * Faults in which something other than the vendor's answer comes, if anything; the login does not take effect.
 * @returns whether `fault` is one of them
 */
export async function answerAmiss(fault: Fault, response: ServerResponse): Promise<boolean> {
  switch (fault) {
    case 'http-500':
      response.writeHead(500, { 'content-type': 'text/plain' }).end('Internal Server Error');
      return true;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Gateway</title>');
      return true;
    case 'reset':
      response.socket?.resetAndDestroy();
      return true;
    case 'hang':
      return true;
    case 'endless':
      response.writeHead(200, { 'content-type': 'application/json' });
      await pipeline(Readable.from(endlessJson()), response);
      return true;
    default:
      return false;
  }
}

/** The `cut-off` fault: the connection ends half way through the answer to a login that took effect. */
export function cutOff(response: ServerResponse, answer: string): void {
  const bytes = Buffer.from(answer);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': bytes.length });
  response.write(bytes.subarray(0, bytes.length / 2), () => response.socket?.destroy());
}

function* endlessJson(): Generator<string> {
  yield '{"code":0,"msg":"';
  for (;;) yield 'endless '.repeat(1024);
}
