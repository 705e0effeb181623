import type { Clock } from '../token/clock.ts';
import type { ResultKind } from '../token/observer.ts';
import type { SdkToken } from '../token/sdk-token.ts';
import { BrokenAnswer, parseAnswer, readToken, resultKind } from './answer.ts';
import { VendorClient } from './client.ts';
import { ClockOffset, type DateObservation } from './domains.ts';
import type { FaultFacts } from './faults.ts';
import { type LoginParts, newNonce, prepareLogin } from './signed-call.ts';

export interface VendorProbeOptions {
  readonly login: Omit<LoginParts, 'nonce' | 'timestamp'>;
  /** Timeout of one attempt in ms. There are at most two attempts. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** The vendor's answer to a signed call, with any result code. */
export interface VendorExchange {
  readonly code: number;
  readonly kind: ResultKind;
  /** The end of `msg`, which shows the reason of a 10007, for example `-3`. */
  readonly reason: string | undefined;
  readonly roundTripMs: number;
  /** The comparison of the clocks; `undefined` without a `Date` header. */
  readonly clock: ClockReading | undefined;
  /** Present if the login succeeded. */
  readonly token: SdkToken | undefined;
}

export interface ClockReading {
  /** The vendor's clock minus the broker's clock; 0 unless a difference is known. */
  readonly offsetMs: number;
  /** `warn`: the operator should know. `error`: the operator must act. */
  readonly level: 'warn' | 'error' | undefined;
}

/**
 * Sends one login. If the vendor refuses the timestamp, it sends another one by the vendor's clock, as the service does.
 * @throws VendorFault if no valid answer of the vendor arrived
 */
export async function probeVendor({ login, timeoutMs, clock }: VendorProbeOptions): Promise<VendorExchange> {
  const client = new VendorClient({ clock, connectTimeoutMs: timeoutMs });
  const send = async (offsetMs: number): Promise<VendorExchange> => {
    const timestamp = Math.floor((clock.now() + offsetMs) / 1_000);
    const request = prepareLogin({ ...login, nonce: newNonce(), timestamp });
    const startedAt = clock.monotonic();
    const { status, text, dateHeader } = await client.post(request, timeoutMs);
    const roundTripMs = Math.round(clock.monotonic() - startedAt);
    const receivedAt = clock.now();
    const sentAt = receivedAt - roundTripMs;
    let facts: FaultFacts = { httpStatus: status };
    try {
      const { code, msg, data } = parseAnswer(text);
      facts = { ...facts, vendorCode: code };
      const kind = resultKind(code, msg);
      return {
        code,
        kind,
        reason: /:\s*(-\d{1,3})\s*$/.exec(msg)?.[1],
        roundTripMs,
        clock: dateHeader === undefined ? undefined : readClock({ vendorDate: dateHeader, sentAt, receivedAt }),
        token: kind === 'success' ? readToken(data, { sentAt, offsetMs }) : undefined,
      };
    } catch (error) {
      throw error instanceof BrokenAnswer ? error.toFault(facts) : error;
    }
  };
  try {
    const first = await send(0);
    return first.kind === 'clock_skew' && first.clock ? await send(first.clock.offsetMs) : first;
  } finally {
    await client.close();
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
