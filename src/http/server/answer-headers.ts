import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/**
 * The headers that helmet sets for an API without pages; its hook would take as long as the rest of a read from memory.
 * `Strict-Transport-Security` is not among them: it would bind the whole host and its subdomains to HTTPS, which is for
 * the proxy that ends TLS to decide.
 */
export const SECURITY_HEADERS = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'SAMEORIGIN',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
} as const;

/** A request id that is safe to log and to echo. */
const SAFE_REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** The `X-Request-Id` of the answer: the caller's if it is safe, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const sent = request.headers['x-request-id'];
  return typeof sent === 'string' && SAFE_REQUEST_ID.test(sent) ? sent : randomUUID();
}
