import type { Clock } from '../token/clock.ts';
import { BrokenAnswer, parseAnswer, readToken, resultKind } from './answer.ts';
import type { VendorTransport } from './client.ts';
import type { FaultFacts } from './faults.ts';
import { type LoginParts, newNonce, prepareLogin } from './signed-call.ts';

/** A login before it is signed. */
export type UnsignedLogin = Omit<LoginParts, 'nonce' | 'timestamp'>;

export interface ExchangeOptions {
  readonly transport: VendorTransport;
  readonly clock: Clock;
  /** Timeout of the exchange in ms. */
  readonly timeoutMs: number;
  /** The vendor's clock minus the broker's clock, as far as it is known. The timestamp is by the vendor's clock. */
  readonly offsetMs: number;
}

/** The form of a request id that the log may show, unless it is a secret of the app. It is shorter than any token. */
const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** Signs a login, sends it once, and reads the answer. @throws VendorFault if no valid answer of the vendor arrived */
export async function exchange(login: UnsignedLogin, options: ExchangeOptions) {
  const { transport, clock, timeoutMs, offsetMs: knownOffsetMs } = options;
  const timestamp = Math.floor((clock.now() + knownOffsetMs) / 1_000);
  const request = prepareLogin({ ...login, nonce: newNonce(), timestamp });
  const startedAt = clock.monotonic();
  const { status, text, dateHeader, retryAfter } = await transport.post(request, timeoutMs);
  const roundTripMs = Math.round(clock.monotonic() - startedAt);
  // If the wall clock has jumped during the exchange, its present time is the right one.
  const sentAt = clock.now() - roundTripMs;
  let facts: FaultFacts = { httpStatus: status, retryAfter };
  try {
    const { code, msg, requestId, data } = parseAnswer(text);
    const isShown = REQUEST_ID.test(requestId) && ![login.app.appToken, login.app.appKey].includes(requestId);
    facts = { ...facts, vendorCode: code, ...(isShown && { vendorRequestId: requestId }) };
    const kind = resultKind(code, msg);
    /** The end of `msg`, which shows the reason of a 10007, for example `-3`. */
    const reason = /:\s*(-\d{1,3})\s*$/.exec(msg)?.[1];
    const offsetMs = dateHeader === undefined ? undefined : measureOffset(dateHeader, sentAt, roundTripMs);
    const answer = { code, reason, roundTripMs, offsetMs, facts };
    if (kind !== 'success') return { ...answer, kind, token: undefined };
    return { ...answer, kind, token: readToken(data, sentAt, offsetMs ?? knownOffsetMs) };
  } catch (error) {
    throw error instanceof BrokenAnswer ? error.toFault(facts) : error;
  }
}

/** The vendor's answer to a signed call, with any result code. Only a success has a token. */
export type VendorExchange = Awaited<ReturnType<typeof exchange>>;

/** The `Date` header counts whole seconds, so it cannot prove a smaller difference. */
const NEGLIGIBLE_MS = 2_000;

/**
 * Returns the vendor's clock minus the broker's in ms; 0 if the exchange's duration may explain a difference.
 * @param vendorDate the `Date` header: epoch ms by the vendor's clock
 * @param sentAt epoch ms by the broker's clock
 */
export function measureOffset(vendorDate: number, sentAt: number, roundTripMs: number): number {
  const halfTripMs = roundTripMs / 2;
  // `Date` is cut to the second, so it is half a second too small on average.
  const offsetMs = Math.round(vendorDate + 500 - (sentAt + halfTripMs));
  return Math.abs(offsetMs) > NEGLIGIBLE_MS + halfTripMs ? offsetMs : 0;
}

/** Sends a login, and again by the vendor's clock if the timestamp is refused. @throws VendorFault without an answer */
export async function probeVendor(
  login: UnsignedLogin,
  options: Omit<ExchangeOptions, 'offsetMs'>,
): Promise<VendorExchange> {
  const first = await exchange(login, { ...options, offsetMs: 0 });
  const { kind, offsetMs } = first;
  return kind === 'clock_skew' && offsetMs !== undefined ? exchange(login, { ...options, offsetMs }) : first;
}
