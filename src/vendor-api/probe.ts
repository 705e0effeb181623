import type { Clock } from '../token/clock.ts';
import type { SdkToken } from '../token/sdk-token.ts';
import { BrokenAnswer, parseAnswer, type ResultKind, readToken, resultKind, type VendorAnswer } from './answer.ts';
import { VendorClient } from './client.ts';
import { ClockOffset, type DateObservation } from './domains.ts';
import { VendorFault } from './faults.ts';
import { type LoginParts, newNonce, prepareLogin } from './signed-call.ts';

export interface VendorProbeOptions {
  readonly login: Omit<LoginParts, 'nonce' | 'timestamp'>;
  /** Most ms one attempt may take; there may be two. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** The vendor's answer to a signed call, whatever it was. */
export interface VendorExchange {
  readonly code: number;
  readonly kind: ResultKind;
  /** The end of `msg` that tells the reasons of a 10007 apart, such as `-3`. */
  readonly reason: string | undefined;
  readonly roundTripMs: number;
  /** How the vendor's clock compares with ours; `undefined` without a `Date` header. */
  readonly clock: ClockReading | undefined;
  /** Where the login succeeded. */
  readonly token: SdkToken | undefined;
}

export interface ClockReading {
  /** The vendor's clock minus ours; 0 unless they are known to differ. */
  readonly offsetMs: number;
  /** Whether somebody should know, or must act. */
  readonly level: 'warn' | 'error' | undefined;
}

/**
 * Sends one login, and where the vendor refuses its timestamp another one by the vendor's clock, as the issuer would.
 * @throws VendorFault when no answer of the vendor's came
 */
export async function probeVendor({ login, timeoutMs, clock }: VendorProbeOptions): Promise<VendorExchange> {
  const client = new VendorClient({ clock, connectTimeoutMs: timeoutMs });
  const send = async (offsetMs: number): Promise<VendorExchange> => {
    const sentAt = clock.now();
    const timestamp = Math.floor((sentAt + offsetMs) / 1_000);
    const request = prepareLogin({ ...login, nonce: newNonce(), timestamp });
    const { status, text, dateHeader } = await client.post(request, timeoutMs);
    const receivedAt = clock.now();
    const { code, msg, data } = orFault(status, () => parseAnswer(text));
    const kind = resultKind(code, msg);
    const reading = dateHeader === undefined ? undefined : readClock({ vendorDate: dateHeader, sentAt, receivedAt });
    return {
      code,
      kind,
      reason: /:\s*(-\d{1,3})\s*$/.exec(msg)?.[1],
      roundTripMs: receivedAt - sentAt,
      clock: reading,
      token: kind === 'success' ? orFault(status, () => readToken(data, { sentAt, offsetMs })) : undefined,
    };
  };
  try {
    const first = await send(0);
    return first.kind === 'clock_skew' && first.clock ? await send(first.clock.offsetMs) : first;
  } finally {
    await client.close();
  }
}

function orFault<T extends VendorAnswer | SdkToken>(httpStatus: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BrokenAnswer)) throw error;
    throw new VendorFault(httpStatus >= 500 ? 'outage' : 'broken_answer', { httpStatus, problem: error.message });
  }
}

function readClock(observation: DateObservation): ClockReading {
  let level: ClockReading['level'];
  const offset = new ClockOffset((reported) => {
    level = reported;
  });
  offset.observe(observation);
  return { offsetMs: offset.ms, level };
}
